//! What is made of settings: those that can't be had, those without effect, and what the others become.

use core::time::Duration;

use spanwire_core::pipeline::Pipeline;

use super::memory::Budget;
use super::{Collector, Plan};
use crate::config::collector::Config;
use crate::config::{Process, Walk};

/// A configuration of these sections in the place of the usual ones.
fn text(receiver: &str, processors: &str, exporter: &str) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{{receiver}}}}}}}
processors: {{{processors}}}
exporters: {{{exporter}}}
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [{}]
      exporters: [{}]
",
        names(processors),
        names(exporter),
    )
}

/// The keys of one level of a flow map.
fn names(sections: &str) -> String {
    let mut depth = 0;
    let mut names = Vec::new();
    let mut name = String::new();
    for c in sections.chars() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ':' if depth == 0 => names.push(core::mem::take(&mut name)),
            ',' if depth == 0 => name.clear(),
            c if depth == 0 && !c.is_whitespace() => name.push(c),
            _ => {}
        }
    }
    names.join(", ")
}

const GRPC: &str = "grpc: {endpoint: '127.0.0.1:4317'}";
const OTLP: &str = "otlp: {endpoint: 'backend:4317'}";

fn plan(text: &str) -> (Collector, Plan) {
    let collector = Collector::from_config(Config::load(text, &Process).unwrap()).unwrap();
    let (plan, _) = collector.plan().unwrap();
    (collector, plan)
}

/// What is said of a configuration: faults or else warnings, without their positions.
fn said(text: &str) -> Vec<String> {
    let collector = Config::load(text, &Process).and_then(Collector::from_config);
    let faults = match &collector {
        Ok(collector) => collector.warnings(),
        Err(error) => error.faults(),
    };
    faults
        .iter()
        .map(|fault| {
            assert!(fault.position.is_some(), "{fault}");
            format!("{}: {}", fault.path, fault.message)
        })
        .collect()
}

#[test]
fn settings_that_do_not_work_are_told() {
    let exporter = "exporters::otlp";
    for (key, wanted) in [
        (
            "auth: {authenticator: basic}",
            "::auth::authenticator: \"basic\" is not supported: say it in `headers`",
        ),
        (
            "authority: b",
            "::authority: is not supported: requests are for the host of the endpoint",
        ),
        (
            "wait_for_ready: true",
            "::wait_for_ready: has no effect: an export waits for its connection as long as its timeout allows",
        ),
        (
            "read_buffer_size: 1",
            "::read_buffer_size: has no effect: a batch is sent from where it is",
        ),
        (
            "balancer_name: pick_first",
            "::balancer_name: has no effect: there is one connection, to the first address that answers",
        ),
        (
            "keepalive: {time: 1m}",
            "::keepalive: has no effect without `permit_without_stream: true`: an export that gets no answer is noticed by its timeout",
        ),
        (
            "user_agent: \"a\\u0001\"",
            "::user_agent: user agent has characters that no header may have",
        ),
        (
            "headers: {grpc-timeout: 1S}",
            "::headers::grpc-timeout: header 'grpc-timeout' is set by the exporter itself",
        ),
        (
            "sending_queue: {queue_size: 5}",
            "::sending_queue::queue_size: has no effect: what waits is bounded in bytes, by the memory_limiter",
        ),
        (
            "sending_queue: {sizer: bytes}",
            "::sending_queue::queue_size: has no effect: what waits is bounded in bytes, by the memory_limiter",
        ),
        (
            "sending_queue: {block_on_overflow: true}",
            "::sending_queue::block_on_overflow: has no effect: who sends when there is no room is refused, and may send again",
        ),
        (
            "retry_on_failure: {multiplier: 0.5}",
            "::retry_on_failure::multiplier: is used as 1: delays never shrink",
        ),
        (
            "tls: {min_version: '1.3'}",
            "::tls::min_version: is not supported for a client, which speaks TLS 1.2 and 1.3: leave it out",
        ),
        (
            "tls: {reload_interval: 1m}",
            "::tls::reload_interval: has no effect: files are read again when they change",
        ),
        (
            "tls: {ca_pem: a, include_system_ca_certs_pool: true}",
            "::tls::include_system_ca_certs_pool: is not supported beside other roots: put all roots into one file",
        ),
        (
            "tls: {ca_file: /nowhere}",
            "::tls: trusted roots /nowhere: ",
        ),
        (
            "tls: {cert_file: /nowhere, key_pem: a}",
            "::tls: certificate and key have to be two files, or two texts",
        ),
    ] {
        let text = text(
            GRPC,
            "",
            &format!("otlp: {{endpoint: 'backend:4317', {key}}}"),
        );
        let said = said(&text);
        assert!(
            said.iter()
                .any(|said| said.starts_with(&format!("{exporter}{wanted}"))),
            "{key}: {said:?}"
        );
    }
    for (protocols, wanted) in [
        (
            "grpc: {read_buffer_size: 1}",
            "grpc::read_buffer_size: has no effect: buffers are sized by the memory there is",
        ),
        (
            "grpc: {include_metadata: true}",
            "grpc::include_metadata: has no effect: no processor behind it asks for metadata with `from_context`",
        ),
        (
            "grpc: {auth: {authenticator: a}}",
            "grpc::auth::authenticator: \"a\" is not supported: let in only clients that have a certificate, with `tls::client_ca_file`",
        ),
        (
            "grpc: {keepalive: {enforcement_policy: {min_time: 1s}}}",
            "grpc::keepalive::enforcement_policy: has no effect: a client that pings too often is not told to go",
        ),
        (
            "grpc: {tls: {cert_pem: a, key_pem: b}}",
            "grpc::tls: server certificate",
        ),
        (
            "http: {write_timeout: 1s}",
            "http::write_timeout: has no effect: answers are small, and a connection that takes none is cut",
        ),
        (
            "http: {compression_algorithms: [gzip, snappy]}",
            "http::compression_algorithms::1: \"snappy\" is not supported; accepted: \"\" and identity, deflate, gzip",
        ),
        (
            "http: {response_headers: {'a b': c}}",
            "http::response_headers::a b: header name 'a b' is not valid",
        ),
    ] {
        let said = said(&text(protocols, "", OTLP));
        let wanted = format!("receivers::otlp::protocols::{wanted}");
        assert!(
            said.first().is_some_and(|said| said.starts_with(&wanted)),
            "{protocols}: {said:?}"
        );
    }
    for (exporter, wanted) in [
        (
            "debug: {use_internal_logger: false, output_paths: [a, b]}",
            "exporters::debug::output_paths: has to be one path; accepted: stdout, stderr",
        ),
        (
            "otlp_http: {endpoint: backend}",
            "exporters::otlp_http::endpoint: host 'backend' has no port after it",
        ),
        (
            "otlp_http: {traces_endpoint: 'ftp://a'}",
            "exporters::otlp_http::traces_endpoint: scheme 'ftp' is none of",
        ),
    ] {
        let said = said(&text(GRPC, "", exporter));
        assert!(
            said.first().is_some_and(|said| said.starts_with(wanted)),
            "{exporter}: {said:?}"
        );
    }
    let said = said(&text(
        GRPC,
        "",
        "otlp_http: {endpoint: 'http://backend', proxy_url: 'socks5://a:s3cret@proxy'}",
    ));
    let [said] = &*said else { panic!("{said:?}") };
    assert!(
        said.starts_with("exporters::otlp_http::proxy_url: "),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");
    // What is usual is not worth a word.
    for (exporter, processors) in [
        (
            OTLP,
            "memory_limiter: {check_interval: 1s, limit_percentage: 50}, batch: ",
        ),
        (
            "otlp_http: {endpoint: 'http://backend'}, debug: , file: {path: a}",
            "batch: {send_batch_max_size: 9000}",
        ),
    ] {
        assert_eq!(
            self::said(&text("grpc: , http: ", processors, exporter)),
            [""; 0]
        );
    }
}

#[test]
fn the_strictest_memory_limiter_that_is_used_is_the_budget() {
    let limiters = "memory_limiter: {check_interval: 1s, limit_mib: 64}, memory_limiter/b: {check_interval: 1s, limit_mib: 32, spike_limit_mib: 4}";
    let limiting = text(GRPC, limiters, OTLP);
    assert_eq!(
        said(&limiting),
        [
            "processors::memory_limiter/b: is the strictest limit, and so the limit of all pipelines: they share one budget"
        ]
    );
    let (_, Plan { budget, .. }) = plan(&limiting);
    let debug = format!("{budget:?}");
    assert_eq!(budget.path(), "processors::memory_limiter/b");
    assert!(
        debug.contains(&format!(
            "limit: {}, spike: Some({}), own: {}",
            32 << 20,
            4 << 20,
            2 << 20
        )),
        "{debug}"
    );
    // One that no pipeline uses limits nothing; without one, the program's word counts.
    let unused = limiting.replace("memory_limiter, memory_limiter/b", "memory_limiter");
    let (collector, Plan { budget, .. }) = plan(&unused);
    assert_eq!(budget.path(), "processors::memory_limiter");
    let collector = collector.memory_limit(8 << 20).own_memory(1 << 20);
    let none = Collector {
        loaded: Config::load(&text(GRPC, "", OTLP), &Process).unwrap(),
        ..collector
    };
    let budget = none.plan().unwrap().0.budget;
    let usage = |budget: &Budget| {
        let builder = budget
            .tell(Pipeline::builder().exporter(spanwire_core::testing::InMemoryExporter::new));
        builder.build().unwrap().stats().memory.unwrap()
    };
    let told = usage(&budget);
    assert_eq!((told.budget, told.own.limit), (8 << 20, 1 << 20));
    assert_eq!(budget.path(), "processors");
}

#[test]
fn who_sends_waits_for_exporters_without_a_queue_and_no_longer_than_they_try() {
    for (exporter, wanted) in [
        ("otlp: {endpoint: 'a:1'}", None),
        (
            "otlp: {endpoint: 'a:1', sending_queue: {enabled: false}}",
            Some(305),
        ),
        (
            "otlp: {endpoint: 'a:1', sending_queue: {wait_for_result: true}, timeout: 7s, retry_on_failure: {enabled: false}}",
            Some(7),
        ),
        (
            "otlp: {endpoint: 'a:1', sending_queue: {enabled: false}, retry_on_failure: {max_elapsed_time: 0s}}",
            Some(3600),
        ),
        (
            "otlp_http: {endpoint: 'http://a:1', sending_queue: {enabled: false}, timeout: 0s}",
            Some(3600),
        ),
        ("debug: ", None),
    ] {
        let (_, plan) = plan(&text(GRPC, "", exporter));
        let waits = plan.outlets.iter().filter_map(|outlet| outlet.waits).max();
        assert_eq!(waits, wanted.map(Duration::from_secs), "{exporter}");
    }
}

#[test]
fn endpoints_are_read_as_go_reads_them() {
    use super::receiver::endpoint;
    for (given, transport, wanted) in [
        ("127.0.0.1:4317", "tcp", Ok("127.0.0.1:4317")),
        ("127.0.0.1:0", "tcp", Ok("127.0.0.1:0")),
        ("[::1]:4317", "tcp6", Ok("[::1]:4317")),
        (":4317", "tcp", Ok("0.0.0.0:4317")),
        ("/run/otlp.sock", "unix", Ok("unix:/run/otlp.sock")),
        ("@otlp", "unix", Ok("unix-abstract:otlp")),
        ("a b:4317", "tcp", Err("endpoint: has white space in it")),
    ] {
        let mut walk = Walk::default();
        let text = endpoint(given, transport, &mut walk);
        let faults: Vec<_> = walk.faults.iter().map(ToString::to_string).collect();
        match wanted {
            Ok(wanted) => assert_eq!((&*text, &*faults), (wanted, &[][..])),
            Err(wanted) => assert_eq!(faults, [wanted]),
        }
    }
}
