//! What is to run: every section made into a part, and each pipeline's parts in order.

use core::time::Duration;

use spanwire_core::pipeline::{Branch, InvalidPipeline, Pipeline, Stats};

use super::exporter::Outlet;
use super::health::Probe;
use super::memory::Budget;
use super::processor::Step;
use super::receiver::{Answer, Entrance};
use super::scrape::Scrape;
use super::{Adjust, Host, StartError, Voice};
use crate::config::Walk;
use crate::config::collector::{self, ComponentId, Config, Extension, METADATA, Receiver};
use crate::diagnostics::{Diagnostics, Losses};

/// How long a sender waits for what processors make of its spans, at most: until then it is mostly known.
const PROCESSING: Duration = Duration::from_secs(1);

/// What is to run.
pub(super) struct Plan {
    pub(super) budget: Budget,
    /// In the order in which pipelines lead to them.
    pub(super) outlets: Vec<Outlet>,
    pipelines: Vec<PipelinePlan>,
    pub(super) entrances: Vec<Entrance>,
    pub(super) probes: Vec<Probe>,
    pub(super) scrapes: Vec<Scrape>,
}

/// One pipeline.
struct PipelinePlan {
    id: String,
    own: bool,
    receivers: Vec<String>,
    steps: Vec<Step>,
    exporters: Vec<String>,
}

/// Processors by their ids.
type Steps<'a> = Vec<(&'a ComponentId, Step)>;

impl Plan {
    /// What a configuration asks for, `own` being the pipeline that takes own spans if it is not the first. What can't be had is
    /// told to `walk`.
    pub(super) fn of(
        config: &Config,
        own: Option<&str>,
        host: &Host,
        voice: &Voice,
        walk: &mut Walk,
    ) -> Self {
        let budget = Budget::of(config, host, walk);
        let outlets = walk.within("exporters", |walk| outlets(config, host, walk));
        let steps = walk.within("processors", |walk| steps(config, voice, walk));
        let entrances = walk.within("receivers", |walk| {
            entrances(config, &outlets, &steps, host, walk)
        });
        let probes = walk.within("extensions", |walk| probes(config, host, walk));
        let scrapes = walk.within("service", |walk| scrapes(config, host, walk));
        Self {
            budget,
            pipelines: pipelines(config, own, &steps),
            outlets,
            entrances,
            probes,
            scrapes,
        }
    }

    /// The pipelines, as one: they share doors and exporters. What is lost meanwhile is told to `diagnostics`.
    pub(super) fn pipeline(
        &self,
        adjust: Option<&Adjust>,
        diagnostics: Diagnostics,
    ) -> Result<Pipeline, StartError> {
        let builder = match adjust {
            Some(adjust) => adjust(Pipeline::builder()),
            None => Pipeline::builder(),
        };
        let mut builder = self.budget.tell(builder).observer(move || {
            let mut losses = Losses::new(diagnostics.clone());
            move |stats: &Stats| losses.tell(stats)
        });
        for outlet in &self.outlets {
            builder = outlet.add(builder);
        }
        for plan in &self.pipelines {
            let mut branch = Branch::new(&plan.id);
            if plan.own {
                branch = branch.own_spans();
            }
            for receiver in &plan.receivers {
                branch = branch.receiver(receiver);
            }
            for step in &plan.steps {
                branch = step.add(branch);
            }
            for exporter in &plan.exporters {
                branch = branch.exporter(exporter);
            }
            builder = builder.branch(branch);
        }
        builder.build().map_err(|error| {
            let path = match error {
                InvalidPipeline::MemoryLimit { .. }
                | InvalidPipeline::OutOfMemory { .. }
                | InvalidPipeline::Budget(_)
                | InvalidPipeline::Memory(_) => self.budget.path(),
                _ => "service::pipelines".into(),
            };
            StartError::Pipeline { path, error }
        })
    }
}

/// Exporters: those that pipelines lead to come first, in their order.
fn outlets(config: &Config, host: &Host, walk: &mut Walk) -> Vec<Outlet> {
    let pipelines = config.service.pipelines.values();
    let used: Vec<_> = pipelines.flat_map(|one| &one.exporters).collect();
    let unused = config.exporters.keys().filter(|id| !used.contains(id));
    let mut outlets = Vec::new();
    let mut seen: Vec<&ComponentId> = Vec::new();
    for id in used.iter().copied().chain(unused) {
        let Some(section) = config.exporters.get(id).filter(|_| !seen.contains(&id)) else {
            continue;
        };
        seen.push(id);
        let name = id.to_string();
        let outlet = walk.within(&name, |walk| Outlet::new(&name, section, host, walk));
        outlets.extend(outlet.filter(|_| used.contains(&id)));
    }
    outlets
}

fn steps<'a>(config: &'a Config, voice: &Voice, walk: &mut Walk) -> Steps<'a> {
    let each = config.processors.iter().map(|(id, section)| {
        let name = id.to_string();
        let step = walk.within(&name, |walk| {
            let step = Step::new(&name, section, voice, walk);
            warn_of_nothing_kept(config, id, &step, walk);
            step
        });
        (id, step)
    });
    each.collect()
}

/// Says so where a processor asks for headers that no receiver keeps which leads to it.
fn warn_of_nothing_kept(config: &Config, id: &ComponentId, step: &Step, walk: &mut Walk) {
    let Some(asked) = step.asks.iter().find(|name| name.starts_with(METADATA)) else {
        return;
    };
    let pipelines = config.service.pipelines.values();
    let through = pipelines.filter(|one| one.processors.contains(id));
    let receivers: Vec<_> = through.flat_map(|one| &one.receivers).collect();
    let keeps = |id: &&ComponentId| config.receivers.get(id).is_some_and(keeps_metadata);
    if !receivers.is_empty() && !receivers.iter().any(keeps) {
        walk.warn(format!(
            "finds no {asked:?}: no receiver that leads to it has `include_metadata`"
        ));
    }
}

/// Whether it keeps headers of requests on any of its protocols.
fn keeps_metadata(receiver: &Receiver) -> bool {
    let Receiver::Otlp(section) = receiver;
    let (grpc, http) = (&section.protocols.grpc, &section.protocols.http);
    grpc.as_ref().is_some_and(|grpc| grpc.include_metadata)
        || http.as_ref().is_some_and(|http| http.include_metadata)
}

fn entrances(
    config: &Config,
    outlets: &[Outlet],
    steps: &Steps<'_>,
    host: &Host,
    walk: &mut Walk,
) -> Vec<Entrance> {
    let mut entrances = Vec::new();
    for (id, section) in &config.receivers {
        let pipelines = config.service.pipelines.values();
        let fed: Vec<_> = pipelines.filter(|one| one.receivers.contains(id)).collect();
        let behind = fed.iter().flat_map(|one| passed(one, steps));
        let asked: Vec<_> = behind.flat_map(|step| step.asks.iter().cloned()).collect();
        let answer = answer(&fed, outlets, steps);
        let name = id.to_string();
        let opened = walk.within(&name, |walk| {
            Entrance::all(&name, section, answer, &asked, host, config, walk)
        });
        entrances.extend(opened.into_iter().filter(|_| !fed.is_empty()));
    }
    entrances
}

/// The processors of a pipeline, in order.
fn passed<'a>(
    pipeline: &'a collector::Pipeline,
    steps: &'a Steps<'_>,
) -> impl Iterator<Item = &'a Step> {
    let step = |id| steps.iter().find(|(known, _)| *known == id);
    let passed = pipeline.processors.iter().filter_map(step);
    passed.map(|(_, step)| step)
}

/// What a receiver's senders wait for. Who gathers spans answers for them: only without is there something to wait for.
fn answer(fed: &[&collector::Pipeline], outlets: &[Outlet], steps: &Steps<'_>) -> Answer {
    let direct = fed
        .iter()
        .filter(|one| !passed(one, steps).any(|step| step.gathers));
    let led_to = direct
        .flat_map(|one| &one.exporters)
        .map(ToString::to_string);
    let waits = led_to.filter_map(|id| outlets.iter().find(|one| one.id == id)?.waits);
    if let Some(within) = waits.max() {
        return Answer::AfterExport(within);
    }
    let fails = |one: &&collector::Pipeline| {
        passed(one, steps)
            .take_while(|step| !step.gathers)
            .any(|step| step.fails)
    };
    match fed.iter().any(fails) {
        true => Answer::AfterProcessors(PROCESSING),
        false => Answer::AtOnce,
    }
}

fn probes(config: &Config, host: &Host, walk: &mut Walk) -> Vec<Probe> {
    let mut probes = Vec::new();
    for (id, extension) in &config.extensions {
        let Extension::HealthCheck(section) = extension else {
            continue;
        };
        let name = id.to_string();
        let probe = walk.within(&name, |walk| Probe::new(&name, section, host, walk));
        probes.extend(probe.filter(|_| config.service.extensions.contains(id)));
    }
    probes
}

fn scrapes(config: &Config, host: &Host, walk: &mut Walk) -> Vec<Scrape> {
    let mut scrapes = Vec::new();
    for (index, reader) in config.service.telemetry.metrics.listening().enumerate() {
        let scrape = walk.within("telemetry", |walk| {
            walk.within("metrics", |walk| {
                walk.within("readers", |walk| {
                    walk.within(&index.to_string(), |walk| {
                        Scrape::new(index, reader, host, walk)
                    })
                })
            })
        });
        scrapes.extend(scrape);
    }
    scrapes
}

fn pipelines(config: &Config, own: Option<&str>, steps: &Steps<'_>) -> Vec<PipelinePlan> {
    let pipelines = &config.service.pipelines;
    let own = own.map(str::to_owned);
    let own = own.or_else(|| pipelines.keys().next().map(ToString::to_string));
    let names = |ids: &[ComponentId]| ids.iter().map(ToString::to_string).collect();
    let plans = pipelines.iter().map(|(id, pipeline)| PipelinePlan {
        id: id.to_string(),
        own: own.as_ref() == Some(&id.to_string()),
        receivers: names(&pipeline.receivers),
        steps: passed(pipeline, steps).cloned().collect(),
        exporters: names(&pipeline.exporters),
    });
    plans.collect()
}
