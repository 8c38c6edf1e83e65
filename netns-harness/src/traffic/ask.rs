//! What a client is to ask, and what it may see.

use std::fmt;

use super::Reached;
use crate::service::Frontend;
use crate::treatment::Source;

/// A new flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Who asks.
    pub from: Source,
    /// Whom.
    pub to: Frontend,
}

/// From a pod.
impl From<Frontend> for Ask {
    fn from(to: Frontend) -> Self {
        Self {
            from: Source::Pod,
            to,
        }
    }
}

/// What a flow sees that does not wait long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// An answer.
    Answered(Reached),
    /// It is told that nobody is there (ECONNREFUSED).
    Refused,
    /// Nothing.
    Silent,
}

/// What became of the flow: "refused".
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(reached) => write!(f, "{reached}"),
            Self::Refused => f.write_str("refused"),
            Self::Silent => f.write_str("not answered"),
        }
    }
}

/// What became of the flow: "answered by 10.128.0.1:8080, which 192.168.100.1:4711 asked instead of 10.192.0.2:10000".
impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            endpoint,
            source,
            seen,
            ..
        } = self;
        write!(f, "answered by {endpoint}, which {seen} asked")?;
        match seen == source {
            true => Ok(()),
            false => write!(f, " instead of {source}"),
        }
    }
}
