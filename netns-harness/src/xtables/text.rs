//! Input of `iptables-restore`, written line by line.

use std::fmt::Write as _;

use schema::Family;

/// One `iptables-restore` input under construction, with its operations counted.
pub(crate) struct RestoreText {
    text: String,
    operations: u64,
    /// Whose rules they are.
    pub(crate) family: Family,
    /// kube-proxy's large-cluster layout: no comments in the rules of endpoints.
    pub(crate) large_cluster: bool,
    /// Whether rules name the counters of [`crate::accounts`].
    pub(crate) accounts: bool,
}

impl RestoreText {
    pub(crate) fn new(family: Family, large_cluster: bool) -> Self {
        Self {
            text: String::new(),
            operations: 0,
            family,
            large_cluster,
            accounts: false,
        }
    }

    pub(crate) fn finish(self) -> (String, u64) {
        (self.text, self.operations)
    }

    /// One line that names a rule, a chain or its deletion.
    pub(crate) fn operation(&mut self, line: std::fmt::Arguments<'_>) {
        self.text
            .write_fmt(line)
            .expect("writing to a String cannot fail");
        self.text.push('\n');
        self.operations += 1;
    }

    /// Lines as they are, each of which names a rule.
    pub(crate) fn all<'a>(&mut self, rules: impl IntoIterator<Item = &'a &'static str>) {
        for rule in rules {
            self.operation(format_args!("{rule}"));
        }
    }

    pub(crate) fn declare(&mut self, chain: &str) {
        self.operation(format_args!(":{chain} - [0:0]"));
    }

    pub(crate) fn delete_chain(&mut self, chain: &str) {
        self.operation(format_args!("-X {chain}"));
    }

    pub(crate) fn begin(&mut self, table: &str) {
        self.text.push('*');
        self.text.push_str(table);
        self.text.push('\n');
    }

    pub(crate) fn commit(&mut self) {
        self.text.push_str("COMMIT\n");
    }
}
