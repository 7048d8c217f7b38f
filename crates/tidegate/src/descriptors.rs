//! File descriptors: as many as the system lets this process have, and how many of them clients may take.
//!
//! Owns the process's limit. Called once, before the gateway listens.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for the log, the state, listeners, the control plane and the runtime.
const OWN: usize = 64;

/// Where the system sets no limit: enough for any machine, and no promise to allocate.
const UNLIMITED: usize = 1 << 20;

/// Raises the limit as far as it goes, and says how many connections of clients fit: each may need another one to an
/// upstream, and what is left over is the gateway's own.
pub(crate) fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of file descriptors could not be raised");
    }
    let most = getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok()).unwrap_or(UNLIMITED);
    of_descriptors(most)
}

fn of_descriptors(most: usize) -> usize {
    (most.saturating_sub(OWN) / 2).max(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_for_their_upstreams_and_for_the_gateway() {
        assert_eq!(of_descriptors(256), 96);
        assert_eq!(of_descriptors(1024), 480);
        assert_eq!(of_descriptors(20), 16);
        assert!(connections() >= 16);
    }
}
