//! Answers for probes.

#[cfg(feature = "health-check")]
use core::time::Duration;
#[cfg(feature = "health-check")]
use std::time::Instant;

#[cfg(feature = "health-check")]
use super::{CLOSING, LOOK};
use super::{Host, StartError};
use crate::config::Walk;
use crate::config::collector::HealthCheck;
#[cfg(feature = "health-check")]
use crate::extension::health_check;

/// A `health_check` extension, validated.
#[derive(Clone)]
pub(super) struct Probe {
    #[cfg(feature = "health-check")]
    id: String,
    #[cfg(feature = "health-check")]
    section: HealthCheck,
    #[cfg(feature = "health-check")]
    builder: health_check::HealthCheckBuilder,
}

impl Probe {
    #[cfg(feature = "health-check")]
    pub(super) fn new(id: &str, section: &HealthCheck, host: &Host, _: &mut Walk) -> Option<Self> {
        let mut builder = health_check::HealthCheck::builder()
            .endpoint(&section.endpoint)
            .path(&section.path)
            .runtime(host.runtime.clone());
        if let Some(bodies) = &section.response_body {
            if !bodies.healthy.is_empty() {
                builder = builder.healthy_body(&bodies.healthy);
            }
            if !bodies.unhealthy.is_empty() {
                builder = builder.unhealthy_body(&bodies.unhealthy);
            }
        }
        Some(Self {
            id: id.into(),
            section: section.clone(),
            builder,
        })
    }

    #[cfg(feature = "health-check")]
    fn start(
        &self,
        health: &health_check::Health,
        patience: Duration,
    ) -> Result<health_check::HealthCheck, StartError> {
        let begun = Instant::now();
        loop {
            let error = match self.builder.clone().health(health.clone()).start() {
                Ok(check) => return Ok(check),
                Err(error) => error,
            };
            let may_pass = matches!(error, health_check::HealthCheckError::Bind { .. });
            if !may_pass || begun.elapsed() >= patience {
                return Err(StartError::Listen {
                    path: format!("extensions::{}", self.id),
                    why: error.to_string(),
                });
            }
            std::thread::sleep(LOOK);
        }
    }

    #[cfg(not(feature = "health-check"))]
    pub(super) fn new(_: &str, _: &HealthCheck, _: &Host, walk: &mut Walk) -> Option<Self> {
        super::not_built_in("health-check", walk);
        None
    }
}

/// The extensions that answer.
#[derive(Default)]
pub(super) struct Probes {
    addresses: Vec<String>,
    #[cfg(feature = "health-check")]
    health: health_check::Health,
    #[cfg(feature = "health-check")]
    open: Vec<(HealthCheck, health_check::HealthCheck)>,
}

impl Probes {
    /// Answers, for now that it is not ready. Sockets of the configuration before stay open where they are to answer the
    /// same.
    #[cfg(feature = "health-check")]
    pub(super) fn start(probes: &[Probe], before: Option<Self>) -> Result<Self, StartError> {
        let (patience, before) = match before {
            Some(before) => (CLOSING, before),
            None => (Duration::ZERO, Self::default()),
        };
        let mut all = Self {
            health: before.health,
            ..Self::default()
        };
        let mut kept = before.open;
        kept.retain(|(section, _)| probes.iter().any(|probe| probe.section == *section));
        for probe in probes {
            let same = kept
                .iter()
                .position(|(section, _)| *section == probe.section);
            let check = match same {
                Some(at) => kept.swap_remove(at).1,
                None => probe.start(&all.health, patience)?,
            };
            all.addresses.push(match check.local_addr() {
                Some(address) => address.to_string(),
                None => probe.section.endpoint.clone(),
            });
            all.open.push((probe.section.clone(), check));
        }
        Ok(all)
    }

    #[cfg(not(feature = "health-check"))]
    pub(super) fn start(_: &[Probe], _: Option<Self>) -> Result<Self, StartError> {
        Ok(Self::default())
    }

    pub(super) fn ready(&self) {
        #[cfg(feature = "health-check")]
        self.health.ready();
    }

    pub(super) fn unavailable(&self) {
        #[cfg(feature = "health-check")]
        self.health.unavailable();
    }

    pub(super) fn addresses(&self) -> &[String] {
        &self.addresses
    }
}
