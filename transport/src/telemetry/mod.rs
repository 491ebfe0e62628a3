//! How a pipeline stands, in numbers for a scraper.
//!
//! [`Exposition`] writes the [`Stats`] of a pipeline as Prometheus text, under three families of names:
//!
//! - `otel_sdk_*`: the SDK metrics of the OpenTelemetry semantic conventions, for dashboards made for an SDK. Each lane
//!   is a span processor with its exporter;
//! - `otelcol_*`: the metrics of the OpenTelemetry Collector, for dashboards made for it. `queue_size` is in spans;
//! - `spanwire_*`: what the others have no name for: every [`DropReason`], bytes of memory, the account of neighbours.
//!
//! Left out is what a pipeline does not know: the origin of parents (`otel.span.parent.origin`), the capacity of a
//! queue in spans (its bound is in bytes), the duration of exports.
//!
//! Semantic conventions 1.44, "SDK Metrics"; Prometheus text exposition format 0.0.4. Counters wrap where a pointer has
//! 32 bits, which Prometheus takes for a restart.

use core::fmt::{self, Display};

use spanwire_core::engine::LaneAccount;
use spanwire_core::limiter::{ShareUsage, Usage};
use spanwire_core::pipeline::Stats;
use spanwire_core::stats::DropReason;

// Where spans are lost.
mod loss;

// Lines of text.
mod text;

use self::loss::{Stage, at_export, before_export, handed_over, stage, sum};
use self::text::{COUNTER, GAUGE, Text};

/// The media type of what [`Exposition`] writes, for the `Content-Type` of an answer.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The numbers of a pipeline as text, written by [`Display`].
///
/// ```
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_core::testing::InMemoryExporter;
/// use spanwire_transport::telemetry::Exposition;
///
/// let pipeline = Pipeline::builder().exporter(InMemoryExporter::new).build()?;
/// drop(pipeline.tracer("scope").start("span"));
///
/// let stats = pipeline.stats();
/// let text = Exposition::new(&stats).exporter("otlp_grpc_span_exporter", "otlp/backend").to_string();
/// assert!(text.contains("\notel_sdk_span_started_total{otel_span_sampling_result=\"RECORD_AND_SAMPLE\"} 1\n"));
/// assert!(text.contains("\notelcol_exporter_sent_spans_total{exporter=\"otlp/backend\"} 0\n"));
/// # Ok::<(), spanwire_core::pipeline::InvalidPipeline>(())
/// ```
#[derive(Clone, Debug)]
pub struct Exposition<'a> {
    stats: &'a Stats,
    exporters: Vec<Named<'a>>,
    receiver: &'a str,
    labels: Vec<(&'a str, &'a str)>,
}

/// What an exporter is called.
#[derive(Clone, Copy, Debug)]
struct Named<'a> {
    /// `otel.component.type`.
    kind: &'a str,
    /// The Collector's component id.
    id: &'a str,
}

impl<'a> Exposition<'a> {
    /// The numbers of this pipeline.
    #[must_use]
    pub const fn new(stats: &'a Stats) -> Self {
        Self {
            stats,
            exporters: Vec::new(),
            receiver: "otlp",
            labels: Vec::new(),
        }
    }

    /// Names the next exporter, in the order in which the pipeline was given them: its `otel.component.type`, such as
    /// `otlp_grpc_span_exporter`, and its id as the Collector writes it, such as `otlp/backend`. One without a name is
    /// `spanwire_exporter`, and `exporter/` with its number.
    #[must_use]
    pub fn exporter(mut self, component_type: &'a str, id: &'a str) -> Self {
        self.exporters.push(Named {
            kind: component_type,
            id,
        });
        self
    }

    /// The id of the receiver that neighbours speak to, as the Collector writes it. Default: `otlp`.
    #[must_use]
    pub const fn receiver(mut self, id: &'a str) -> Self {
        self.receiver = id;
        self
    }

    /// Adds a label to every number, such as the name of one of several pipelines. Characters that a label's name
    /// must not have become `_`.
    #[must_use]
    pub fn label(mut self, name: &'a str, value: &'a str) -> Self {
        self.labels.push((name, value));
        self
    }
}

impl Display for Exposition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Text {
            out: f,
            labels: &self.labels,
        };
        self.sdk(&mut text)?;
        self.collector(&mut text)?;
        self.own(&mut text)
    }
}

impl Exposition<'_> {
    /// The lanes with the names of their exporters.
    fn lanes(&self) -> impl Iterator<Item = Lane<'_>> + Clone {
        self.stats.lanes.iter().map(|report| Lane {
            account: report.account,
            index: report.lane.index(),
            exporter: report.exporter.index(),
            named: self.exporters.get(report.exporter.index()),
        })
    }

    /// One lane for each exporter: the sum of those that lead to it from several pipelines, since a number may appear
    /// under the same labels once.
    fn exporters(&self) -> Vec<Lane<'_>> {
        let mut sums: Vec<Lane<'_>> = Vec::new();
        for lane in self.lanes() {
            match sums.iter_mut().find(|sum| sum.exporter == lane.exporter) {
                Some(sum) => add(&mut sum.account, &lane.account),
                None => sums.push(lane),
            }
        }
        sums
    }

    fn sdk(&self, text: &mut Text<'_, '_>) -> fmt::Result {
        let own = &self.stats.own;
        text.family(
            "otel_sdk_span_started_total",
            COUNTER,
            "Spans started, by the decision of the sampler.",
        )?;
        let dropped = own.not_sampled.wrapping_add(own.not_sampled_overload);
        for (result, count) in [("RECORD_AND_SAMPLE", own.started), ("DROP", dropped)] {
            let labels = [("otel_span_sampling_result", result)];
            text.sample("otel_sdk_span_started_total", &labels, count)?;
        }
        text.family(
            "otel_sdk_span_live",
            GAUGE,
            "Sampled spans that have not ended.",
        )?;
        let labels = [("otel_span_sampling_result", "RECORD_AND_SAMPLE")];
        text.sample("otel_sdk_span_live", &labels, own.live())?;

        text.family(
            "otel_sdk_processor_span_queue_size",
            GAUGE,
            "Spans that wait to be exported.",
        )?;
        for lane in self.lanes() {
            let name = lane.processor();
            text.sample(
                "otel_sdk_processor_span_queue_size",
                &processor_labels(&name),
                lane.account().buffered,
            )?;
        }
        const PROCESSED: &str = "otel_sdk_processor_span_processed_total";
        text.family(
            PROCESSED,
            COUNTER,
            "Spans handed to the exporter, and spans lost before that, by error.type.",
        )?;
        for lane in self.lanes() {
            let name = lane.processor();
            let labels = processor_labels(&name);
            text.sample(PROCESSED, &labels, handed_over(lane.account()))?;
            let [component, kind] = labels;
            for (error, count) in before_export(&self.stats.own.dropped, lane.account()) {
                let labels = [component, kind, ("error_type", error)];
                text.sample(PROCESSED, &labels, count)?;
            }
        }
        text.family(
            "otel_sdk_exporter_span_inflight",
            GAUGE,
            "Spans in the hands of the exporter, or waiting to be sent again.",
        )?;
        for lane in self.exporters() {
            let name = lane.component();
            let labels = lane.labels(&name);
            text.sample(
                "otel_sdk_exporter_span_inflight",
                &labels,
                lane.account().in_flight,
            )?;
        }
        const EXPORTED: &str = "otel_sdk_exporter_span_exported_total";
        text.family(
            EXPORTED,
            COUNTER,
            "Spans whose export is over: arrived, and failed by error.type.",
        )?;
        for lane in self.exporters() {
            let name = lane.component();
            let labels = lane.labels(&name);
            text.sample(EXPORTED, &labels, lane.account().exported)?;
            let [component, kind] = labels;
            for (error, count) in at_export(&lane.account().dropped) {
                let labels = [component, kind, ("error_type", error)];
                text.sample(EXPORTED, &labels, count)?;
            }
        }
        Ok(())
    }

    fn collector(&self, text: &mut Text<'_, '_>) -> fmt::Result {
        let neighbours = &self.stats.neighbours;
        let receiver = [("receiver", self.receiver)];
        for (name, help, count) in [
            (
                "otelcol_receiver_accepted_spans_total",
                "Spans of neighbours that were admitted.",
                neighbours.admitted,
            ),
            (
                "otelcol_receiver_refused_spans_total",
                "Spans of neighbours that were refused for want of memory or at the end.",
                neighbours.refused,
            ),
        ] {
            text.family(name, COUNTER, help)?;
            text.sample(name, &receiver, count)?;
        }
        type Read = fn(&LaneAccount) -> u64;
        let families: [(&str, &str, &str, Read); 4] = [
            (
                "otelcol_exporter_sent_spans_total",
                COUNTER,
                "Spans that arrived.",
                |account| account.exported,
            ),
            (
                "otelcol_exporter_send_failed_spans_total",
                COUNTER,
                "Spans that were handed to the exporter and lost.",
                |account| sum(account, Stage::Export),
            ),
            (
                "otelcol_exporter_enqueue_failed_spans_total",
                COUNTER,
                "Spans lost before they were handed to the exporter.",
                |account| sum(account, Stage::Queue),
            ),
            (
                "otelcol_exporter_queue_size",
                GAUGE,
                "Spans that wait to be exported.",
                |account| account.buffered,
            ),
        ];
        for (name, kind, help, read) in families {
            text.family(name, kind, help)?;
            for lane in self.exporters() {
                let id = lane.id();
                let labels = [("exporter", id.as_str()), ("data_type", "traces")];
                // The Collector labels its queue with the signal, and its counters without.
                let labels = if kind == GAUGE {
                    &labels[..]
                } else {
                    &labels[..1]
                };
                text.sample(name, labels, read(lane.account()))?;
            }
        }
        Ok(())
    }

    fn own(&self, text: &mut Text<'_, '_>) -> fmt::Result {
        let Stats {
            own, neighbours, ..
        } = self.stats;
        let doors = [
            (
                "spanwire_spans_admitted_total",
                "Spans of this program that ended and were taken into the ring.",
                own.admitted,
            ),
            (
                "spanwire_spans_thinned_total",
                "Roots not sampled because the ring filled faster than it was emptied.",
                own.not_sampled_overload,
            ),
            (
                "spanwire_neighbours_received_spans_total",
                "Spans in well-formed requests of neighbours.",
                neighbours.received,
            ),
            (
                "spanwire_neighbours_turned_away_spans_total",
                "Admitted spans of neighbours that there was no room for after all.",
                neighbours.turned_away,
            ),
            (
                "spanwire_neighbours_malformed_requests_total",
                "Requests of neighbours that were not well-formed.",
                neighbours.malformed_requests,
            ),
            (
                "spanwire_wakes_total",
                "How often the thread of the pipeline woke from sleep.",
                self.stats.wakes,
            ),
        ];
        for (name, help, count) in doors {
            text.family(name, COUNTER, help)?;
            text.sample(name, &[], count)?;
        }
        text.family(
            "spanwire_dropped_spans_total",
            COUNTER,
            "Spans of this program lost before they came to a lane, by reason.",
        )?;
        for reason in DropReason::ALL {
            let count = match reason {
                DropReason::Overwritten => own.overwritten,
                reason => own.dropped.get(reason),
            };
            if stage(reason) == Stage::Door || count > 0 {
                let labels = [("reason", reason.as_str())];
                text.sample("spanwire_dropped_spans_total", &labels, count)?;
            }
        }
        text.family(
            "spanwire_lane_dropped_spans_total",
            COUNTER,
            "Spans lost on their way to an exporter, by reason.",
        )?;
        for lane in self.exporters() {
            for reason in DropReason::ALL {
                let count = lane.account().dropped.get(reason);
                if stage(reason) != Stage::Door || count > 0 {
                    let id = lane.id();
                    let labels = [("exporter", id.as_str()), ("reason", reason.as_str())];
                    text.sample("spanwire_lane_dropped_spans_total", &labels, count)?;
                }
            }
        }
        type Read = fn(&LaneAccount) -> u64;
        let families: [(&str, &str, &str, Read); 7] = [
            (
                "spanwire_lane_admitted_spans_total",
                COUNTER,
                "Spans that came to the lane of an exporter.",
                |account| account.admitted,
            ),
            (
                "spanwire_lane_filtered_spans_total",
                COUNTER,
                "Spans that processors took out, as they were asked to.",
                |account| account.filtered,
            ),
            (
                "spanwire_lane_possibly_duplicated_spans_total",
                COUNTER,
                "Spans sent again although the server may have stored them before.",
                |account| account.possibly_duplicated,
            ),
            (
                "spanwire_lane_late_replies_total",
                COUNTER,
                "Answers, in batches, that came after the export had timed out.",
                |account| account.late_replies,
            ),
            (
                "spanwire_lane_retries_total",
                COUNTER,
                "Attempts after the first, in batches.",
                |account| account.retries,
            ),
            (
                "spanwire_lane_failures_total",
                COUNTER,
                "Attempts of which not every span arrived, in batches.",
                |account| account.failures,
            ),
            (
                "spanwire_lane_retrying_spans",
                GAUGE,
                "Spans that wait to be sent again.",
                |account| account.retrying,
            ),
        ];
        for (name, kind, help, read) in families {
            text.family(name, kind, help)?;
            for lane in self.exporters() {
                let id = lane.id();
                let labels = [("exporter", id.as_str())];
                text.sample(name, &labels, read(lane.account()))?;
            }
        }
        match &self.stats.memory {
            Some(memory) => self.memory(text, memory),
            None => Ok(()),
        }
    }

    fn memory(&self, text: &mut Text<'_, '_>, memory: &Usage) -> fmt::Result {
        for (name, help, bytes) in [
            (
                "spanwire_memory_budget_bytes",
                "The hard limit of all memory for spans.",
                memory.budget,
            ),
            (
                "spanwire_memory_in_use_bytes",
                "Memory for spans in use.",
                memory.in_use,
            ),
            (
                "spanwire_memory_high_water_bytes",
                "The most memory for spans that ever was in use.",
                memory.high_water,
            ),
        ] {
            text.family(name, GAUGE, help)?;
            text.sample(name, &[], bytes as u64)?;
        }
        type Read = fn(&ShareUsage) -> usize;
        let families: [(&str, &str, &str, Read); 4] = [
            (
                "spanwire_memory_share_limit_bytes",
                GAUGE,
                "The hard limit of a share of the memory.",
                |share| share.limit,
            ),
            (
                "spanwire_memory_share_in_use_bytes",
                GAUGE,
                "What is in use of a share.",
                |share| share.in_use,
            ),
            (
                "spanwire_memory_share_high_water_bytes",
                GAUGE,
                "The most that ever was in use of a share.",
                |share| share.high_water,
            ),
            (
                "spanwire_memory_share_refusals_total",
                COUNTER,
                "How often a share said no.",
                |share| share.refused,
            ),
        ];
        for (name, kind, help, read) in families {
            text.family(name, kind, help)?;
            for (share, usage) in [
                ("own", &memory.own),
                ("neighbours", &memory.neighbours),
                ("reserve", &memory.reserve),
            ] {
                let labels = [("share", share)];
                text.sample(name, &labels, read(usage) as u64)?;
            }
        }
        Ok(())
    }
}

/// A lane, and what its exporter is called.
#[derive(Clone, Copy)]
struct Lane<'a> {
    account: LaneAccount,
    index: usize,
    exporter: usize,
    named: Option<&'a Named<'a>>,
}

/// Adds what a lane counts to what others do.
fn add(sum: &mut LaneAccount, more: &LaneAccount) {
    sum.dropped.merge(&more.dropped);
    for (sum, more) in [
        (&mut sum.admitted, more.admitted),
        (&mut sum.filtered, more.filtered),
        (&mut sum.exported, more.exported),
        (&mut sum.buffered, more.buffered),
        (&mut sum.in_flight, more.in_flight),
        (&mut sum.retrying, more.retrying),
        (&mut sum.possibly_duplicated, more.possibly_duplicated),
        (&mut sum.late_replies, more.late_replies),
        (&mut sum.retries, more.retries),
        (&mut sum.failures, more.failures),
    ] {
        *sum = sum.wrapping_add(more);
    }
}

impl<'a> Lane<'a> {
    fn account(&self) -> &LaneAccount {
        &self.account
    }

    fn kind(&self) -> &'a str {
        self.named.map_or("spanwire_exporter", |named| named.kind)
    }

    fn processor(&self) -> String {
        format!("batching_span_processor/{}", self.index)
    }

    fn component(&self) -> String {
        format!("{}/{}", self.kind(), self.exporter)
    }

    fn labels<'l>(&self, component: &'l str) -> [(&'static str, &'l str); 2]
    where
        'a: 'l,
    {
        [
            ("otel_component_name", component),
            ("otel_component_type", self.kind()),
        ]
    }

    fn id(&self) -> String {
        match self.named {
            Some(named) => named.id.into(),
            None => format!("exporter/{}", self.exporter),
        }
    }
}

fn processor_labels(name: &str) -> [(&'static str, &str); 2] {
    [
        ("otel_component_name", name),
        ("otel_component_type", "batching_span_processor"),
    ]
}

#[cfg(test)]
mod tests;
