//! Steps that several modes have: counters that rules name, rules by `iptables-restore`, sets by libipset or `ipset restore`,
//! command lines.

use std::fmt;

use ipset_sys::{Command, Session};
use schema::Family;

use super::step::Step;
use crate::sockets::{Socket, Sockets};
use crate::xtables::{RestoreText, tool};
use crate::{HarnessError, accounts, tools};

/// The counters of [`crate::accounts`] are made, once: before the first rules that name them. What is counted of a batch are its
/// rules; this is no part of it.
#[derive(Debug)]
pub(super) struct Accounts;

impl Step for Accounts {
    fn operations(&self) -> u64 {
        0
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn carry_out(&self, _sockets: &mut Sockets) -> Result<(), HarnessError> {
        accounts::make().map(drop)
    }
}

/// As `nfacct(8)` would be told.
impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = accounts::NAMES.iter();
        names.try_for_each(|name| writeln!(f, "nfacct add {name}"))
    }
}

/// Text for the standard input of a tool.
#[derive(Debug)]
pub(crate) struct Input<T> {
    tool: T,
    pub(super) text: String,
    operations: u64,
}

/// A tool that carries out what it reads.
pub(crate) trait Tool: fmt::Debug + Send + Sync + 'static {
    /// Runs it to its end.
    ///
    /// # Errors
    /// It is missing, or refused.
    fn read(&self, text: &str) -> Result<(), HarnessError>;
}

impl<T: Tool> Input<T> {
    /// A text, and how many operations it says.
    pub(super) fn of(tool: T, (text, operations): (String, u64)) -> Self {
        Self {
            tool,
            text,
            operations,
        }
    }
}

impl<T: Tool> Step for Input<T> {
    fn operations(&self) -> u64 {
        self.operations
    }

    fn bytes(&self) -> u64 {
        self.text.len() as u64
    }

    fn carry_out(&self, _sockets: &mut Sockets) -> Result<(), HarnessError> {
        self.tool.read(&self.text)
    }
}

impl<T> fmt::Display for Input<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An `iptables-restore`, by the prefix of its name.
#[derive(Debug)]
pub(crate) struct IptablesRestore(&'static str);

impl Tool for IptablesRestore {
    fn read(&self, text: &str) -> Result<(), HarnessError> {
        tool::restore(self.0, tool::ADD, text)
    }
}

pub(crate) type Restore = Input<IptablesRestore>;

impl Restore {
    /// By `TOOL-restore`.
    pub(super) fn new(tool: &'static str, text: RestoreText) -> Self {
        Self::of(IptablesRestore(tool), text.finish())
    }

    /// The same of a text that says so many operations.
    pub(crate) fn of_text(tool: &'static str, text: &str, operations: u64) -> Self {
        Self::of(IptablesRestore(tool), (text.to_owned(), operations))
    }
}

/// The same of a whole table, in place of what is there.
#[derive(Debug)]
pub(crate) struct IptablesReplace(&'static str);

impl Tool for IptablesReplace {
    fn read(&self, text: &str) -> Result<(), HarnessError> {
        tool::restore(self.0, &["-w", "5"], text)
    }
}

pub(crate) type WholeTable = Input<IptablesReplace>;

impl WholeTable {
    /// By `TOOL-restore`, of a text that says so many operations.
    pub(crate) fn of_text(tool: &'static str, text: &str, operations: u64) -> Self {
        Self::of(IptablesReplace(tool), (text.to_owned(), operations))
    }
}

/// Command lines, one process each, in order.
#[derive(Debug)]
pub(crate) struct Commands(pub(crate) Vec<Vec<String>>);

impl Step for Commands {
    fn operations(&self) -> u64 {
        self.0.len() as u64
    }

    /// As execve(2) hands them over: every word with its closing NUL.
    fn bytes(&self) -> u64 {
        self.0.iter().flatten().map(|w| w.len() as u64 + 1).sum()
    }

    fn carry_out(&self, _sockets: &mut Sockets) -> Result<(), HarnessError> {
        self.0.iter().try_for_each(|words| tool::command(words))
    }
}

impl fmt::Display for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.iter().map(|words| words.join(" "));
        lines.try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A family as ip_set has it.
pub(super) const fn of_sets(family: Family) -> ipset_sys::Family {
    match family {
        Family::Ipv4 => ipset_sys::Family::Inet,
        Family::Ipv6 => ipset_sys::Family::Inet6,
    }
}

/// Commands on sets, through libipset.
#[derive(Debug)]
pub(crate) struct Sets(pub(crate) Vec<Command>);

impl Sets {
    /// Sends commands.
    ///
    /// # Errors
    /// The first that libipset or the kernel refused.
    pub(super) fn send(commands: &[Command], sockets: &mut Sockets) -> Result<(), HarnessError> {
        let sent = sockets.sets()?.send(commands);
        sent.map_err(HarnessError::ipset("change sets"))
    }
}

/// Destroys a set. What referred to it is freed after the answer that removed it, so that it may be busy for a moment
/// longer: then it is tried again, for a tenth of a second at most.
///
/// # Errors
/// It is not there, or still busy.
pub(super) fn destroy(name: String, sockets: &mut Sockets) -> Result<(), HarnessError> {
    const TRIES: u32 = 20;
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);
    let session = sockets.sets()?;
    let command = [Command::Destroy(name)];
    let mut done = session.send(&command);
    for _ in 1..TRIES {
        if !done.as_ref().is_err_and(ipset_sys::Error::is_busy) {
            break;
        }
        std::thread::sleep(PAUSE);
        done = session.send(&command);
    }
    done.map_err(HarnessError::ipset("destroy sets"))
}

/// Sets as the kernel lists them, through libipset.
///
/// # Errors
/// The kernel has no ip_set, or does not list it.
pub(super) fn listed_sets() -> Result<Vec<ipset_sys::Set>, HarnessError> {
    Session::open()
        .and_then(|mut session| session.sets())
        .map_err(HarnessError::ipset("list sets"))
}

/// What ip_set says of the memory of sets, bytes, with the source.
pub(super) fn stated<'a>(sets: impl IntoIterator<Item = &'a ipset_sys::Set>) -> (String, u64) {
    let bytes = sets.into_iter().map(|set| set.memory_bytes).sum();
    ("ipset list: Size in memory".to_owned(), bytes)
}

impl Step for Sets {
    fn operations(&self) -> u64 {
        self.0.len() as u64
    }

    fn messages(&self) -> u64 {
        ipset_sys::messages(&self.0)
    }

    fn bytes(&self) -> u64 {
        ipset_sys::bytes(&self.0)
    }

    fn sockets(&self) -> &'static [Socket] {
        &[Socket::Sets]
    }

    fn carry_out(&self, sockets: &mut Sockets) -> Result<(), HarnessError> {
        Self::send(&self.0, sockets)
    }
}

impl fmt::Display for Sets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ipset_sys::restore_script(&self.0))
    }
}

/// `ipset restore`.
#[derive(Debug)]
pub(crate) struct IpsetRestore;

impl Tool for IpsetRestore {
    fn read(&self, text: &str) -> Result<(), HarnessError> {
        tools::run(netns_sys::tools::command("ipset").arg("restore"), text).map(drop)
    }
}

pub(crate) type SetScript = Input<IpsetRestore>;

impl SetScript {
    /// The same commands, by the tool.
    pub(crate) fn new(commands: &[Command]) -> Self {
        let text = ipset_sys::restore_script(commands);
        Self::of(IpsetRestore, (text, commands.len() as u64))
    }
}
