//! Which services a position of the population means, where a list is walked from the front.

use netns_harness::service::{Population, Service};
use netns_harness::treatment::answering;
use schema::{Mode, Position, Protocol};

/// What a position means in a population.
pub(crate) trait Services: Sized {
    /// The services of `protocol` there, of those that are asked for: one, or all for [`Position::Uniform`].
    fn services_of(
        self,
        population: &Population,
        protocol: Protocol,
        asked: impl Fn(&Service) -> bool,
    ) -> Vec<&Service>;

    /// The same of those that answer a pod in a mode, by their ClusterIPs.
    fn services(self, population: &Population, protocol: Protocol, mode: Mode) -> Vec<&Service> {
        self.services_of(population, protocol, |s| !answering(s, mode).is_empty())
    }
}

impl Services for Position {
    fn services_of(
        self,
        population: &Population,
        protocol: Protocol,
        asked: impl Fn(&Service) -> bool,
    ) -> Vec<&Service> {
        let all: Vec<&Service> = population
            .services
            .iter()
            .filter(|s| s.frontend.protocol == protocol && asked(s))
            .collect();
        let one = |i: usize| all.get(i).copied().into_iter().collect();
        match self {
            Self::First => one(0),
            Self::Middle => one(all.len() / 2),
            Self::Last => one(all.len().saturating_sub(1)),
            Self::Uniform => all,
        }
    }
}
