//! Processes that live as a stay does, in namespaces of their own: what they are asked and what they answer
//! ([`ask`]), how they are started and listened to ([`child`]), and what they do inside ([`cell`], `trial`).

pub(crate) mod ask;
pub(crate) mod cell;
pub(crate) mod child;
mod trial;
