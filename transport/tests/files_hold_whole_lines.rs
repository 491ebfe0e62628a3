//! What a file exporter leaves behind: whole lines, in as many files as asked for, whatever happens in between.
#![cfg(all(feature = "file", feature = "json-read"))]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use spanwire_core::batch::{Batch, Head, Segment};
use spanwire_core::clock::Moment;
use spanwire_core::exporter::{Exporter, Outcome, Receipt, Ticket};
use spanwire_core::limiter::Door;
use spanwire_core::pipeline::Pipeline;
use spanwire_core::stats::DropReason;
use spanwire_transport::exporter::file::{FileExporter, FileExporterBuilder, LinesExporter};
use spanwire_transport::otlp::json::Json;

/// A directory that is gone after the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("spanwire-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("traces.jsonl")
    }

    /// The names in it, in order.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A writer that keeps what it is given, and can be closed.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<(Vec<u8>, bool)>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut shared = self.0.lock().unwrap();
        if shared.1 {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        shared.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A batch of one span with this name, of at most 100 characters.
fn batch(name: &str) -> Batch {
    let len = name.len() as u8;
    let mut body = vec![0x12, len + 4, 0x12, len + 2, 0x2a, len];
    body.extend_from_slice(name.as_bytes());
    Batch::from_iter([Segment::new(
        Head::default(),
        body.into(),
        1,
        Moment::from_nanos(0),
        Door::Own,
    )])
}

fn export(exporter: &mut impl Exporter, batch: Batch) -> Outcome {
    let (receipt, reply) = Receipt::new(Ticket::from_number(0), None, Waker::noop().clone());
    exporter.export(batch, reply);
    receipt.answer().unwrap()
}

/// The names of the spans of each line, read by somebody else.
fn names_in(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "the last line ends"
    );
    text.lines()
        .map(|line| {
            let request: ExportTraceServiceRequest = serde_json::from_str(line).unwrap();
            request.resource_spans[0].scope_spans[0].spans[0]
                .name
                .clone()
        })
        .collect()
}

#[test]
fn a_request_is_a_line_and_an_old_file_is_appended_to() {
    let dir = Dir::new("append");
    for round in ["a", "b"] {
        let mut exporter = FileExporter::builder(dir.file()).sync(true).build();
        assert!(exporter.may_block());
        assert_eq!(export(&mut exporter, batch(round)), Outcome::Exported);
        assert_eq!(export(&mut exporter, batch("next")), Outcome::Exported);
        exporter.shutdown(Moment::default());
    }
    assert_eq!(names_in(&dir.file()), ["a", "next", "b", "next"]);
    let line = Json::batch(&batch("a")).to_string();
    assert!(
        fs::read_to_string(dir.file())
            .unwrap()
            .starts_with(&(line + "\n"))
    );
}

#[test]
fn an_old_file_is_emptied_where_it_is_asked_for_and_only_once() {
    let dir = Dir::new("truncate");
    let export_to = |file: FileExporterBuilder, name| {
        assert_eq!(export(&mut file.build(), batch(name)), Outcome::Exported);
    };
    export_to(FileExporter::builder(dir.file()), "old");
    let afresh = FileExporter::builder(dir.file()).truncate(true);
    afresh.check().unwrap();
    let exporter = afresh.clone().build();
    assert_eq!(names_in(&dir.file()), ["old"], "there is no line yet");
    drop(exporter);
    export_to(afresh.clone(), "a");
    export_to(afresh, "b");
    assert_eq!(names_in(&dir.file()), ["a", "b"]);
}

#[test]
fn files_are_bounded_in_size_and_number() {
    let dir = Dir::new("rotate");
    let line = Json::batch(&batch("00")).to_string().len() as u64 + 1;
    let file = FileExporter::builder(dir.file())
        .max_bytes(3 * line + 1)
        .backups(2);
    let mut exporter = file.build();
    for n in 0..20 {
        assert_eq!(
            export(&mut exporter, batch(&format!("{n:02}"))),
            Outcome::Exported
        );
        for name in dir.names() {
            assert!(fs::metadata(dir.0.join(name)).unwrap().len() <= 3 * line + 1);
        }
    }
    assert_eq!(
        dir.names(),
        ["traces.jsonl", "traces.jsonl.1", "traces.jsonl.2"]
    );
    assert_eq!(names_in(&dir.0.join("traces.jsonl.2")), ["12", "13", "14"]);
    assert_eq!(names_in(&dir.0.join("traces.jsonl.1")), ["15", "16", "17"]);
    assert_eq!(names_in(&dir.file()), ["18", "19"]);
    // A line that is larger than a file may be has one of its own.
    let large = "x".repeat(100);
    assert_eq!(export(&mut exporter, batch(&large)), Outcome::Exported);
    assert_eq!(names_in(&dir.file()), [large.as_str()]);
    assert_eq!(export(&mut exporter, batch("20")), Outcome::Exported);
    assert_eq!(names_in(&dir.0.join("traces.jsonl.1")), [large.as_str()]);
    assert_eq!(names_in(&dir.file()), ["20"]);
}

/// The engine has stopped waiting, and will send the batch again.
#[test]
fn a_batch_that_nobody_waits_for_is_not_written() {
    let dir = Dir::new("late");
    let lines = Shared::default();
    let exporters: [Box<dyn Exporter>; 2] = [
        Box::new(FileExporter::builder(dir.file()).build()),
        Box::new(LinesExporter::new(lines.clone())),
    ];
    for mut exporter in exporters {
        let (receipt, reply) = Receipt::new(Ticket::from_number(0), None, Waker::noop().clone());
        assert!(receipt.cancel());
        exporter.export(batch("a"), reply);
        assert!(receipt.answered_late());
        assert!(receipt.is_released());
    }
    assert_eq!(dir.names(), [""; 0]);
    assert!(lines.0.lock().unwrap().0.is_empty());
}

#[test]
fn without_backups_a_full_file_makes_way() {
    let dir = Dir::new("none");
    let mut exporter = FileExporter::builder(dir.file())
        .max_bytes(1)
        .backups(0)
        .build();
    for name in ["a", "b", "c"] {
        assert_eq!(export(&mut exporter, batch(name)), Outcome::Exported);
        assert_eq!(names_in(&dir.file()), [name]);
    }
    assert_eq!(dir.names(), ["traces.jsonl"]);
}

#[cfg(unix)]
#[test]
fn a_file_that_was_moved_or_removed_is_made_again() {
    let dir = Dir::new("moved");
    let mut exporter = FileExporter::builder(dir.file()).build();
    assert_eq!(export(&mut exporter, batch("a")), Outcome::Exported);
    fs::rename(dir.file(), dir.0.join("away")).unwrap();
    assert_eq!(export(&mut exporter, batch("b")), Outcome::Exported);
    fs::remove_file(dir.file()).unwrap();
    assert_eq!(export(&mut exporter, batch("c")), Outcome::Exported);
    assert_eq!(names_in(&dir.0.join("away")), ["a"]);
    assert_eq!(names_in(&dir.file()), ["c"]);
}

#[test]
fn a_torn_line_of_somebody_else_spoils_no_other() {
    let dir = Dir::new("torn");
    fs::write(dir.file(), "{\"resourceSp").unwrap();
    let mut exporter = FileExporter::builder(dir.file()).build();
    assert_eq!(export(&mut exporter, batch("a")), Outcome::Exported);
    let text = fs::read_to_string(dir.file()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        ["{\"resourceSp", &Json::batch(&batch("a")).to_string()]
    );
}

#[test]
fn several_exporters_share_a_file_line_by_line() {
    const MOST: u64 = 600;
    let dir = Dir::new("shared");
    let file = FileExporter::builder(dir.file())
        .max_bytes(MOST)
        .backups(1000);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let file = file.clone();
            scope.spawn(move || {
                let mut exporter = file.build();
                for n in 0..50 {
                    let name = format!("{writer}-{n:02}");
                    // Another writer may be at it for longer than an export waits.
                    while export(&mut exporter, batch(&name)) != Outcome::Exported {}
                }
            });
        }
    });
    let mut names: Vec<_> = dir
        .names()
        .iter()
        .flat_map(|name| names_in(&dir.0.join(name)))
        .collect();
    names.sort();
    let mut expected: Vec<_> = (0..4)
        .flat_map(|w| (0..50).map(move |n| format!("{w}-{n:02}")))
        .collect();
    expected.sort();
    assert_eq!(names, expected);
    assert!(dir.names().len() > 3, "{:?}", dir.names());
    // Nobody wrote to a file that another had put aside.
    for name in dir.names() {
        let len = fs::metadata(dir.0.join(&name)).unwrap().len();
        assert!(len <= MOST, "{name}: {len}");
    }
}

#[test]
fn a_path_that_is_no_file_is_rejected_and_used_once_it_is_mended() {
    let dir = Dir::new("path");
    let missing = dir.0.join("missing").join("traces.jsonl");
    let builder = FileExporter::builder(&missing);
    assert_eq!(
        builder.check().unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
    let mut exporter = builder.build();
    let Outcome::Rejected { reason, .. } = export(&mut exporter, batch("a")) else {
        panic!()
    };
    assert!(reason.contains("missing"), "{reason}");
    fs::create_dir(dir.0.join("missing")).unwrap();
    assert_eq!(export(&mut exporter, batch("b")), Outcome::Exported);
    assert_eq!(names_in(&missing), ["b"]);
    let mut exporter = FileExporter::builder(&dir.0).build();
    assert!(matches!(
        export(&mut exporter, batch("a")),
        Outcome::Rejected { .. }
    ));
}

/// `/dev/full` is a disk without room; it is no regular file, so that it stands for the writer, not for the path.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_costs_the_batch_that_meets_it() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut exporter = LinesExporter::new(full);
    let Outcome::Rejected { reason, .. } = export(&mut exporter, batch("a")) else {
        panic!()
    };
    assert!(reason.starts_with("output failed: "), "{reason}");
    let mut exporter = FileExporter::builder("/dev/full").build();
    assert!(matches!(
        export(&mut exporter, batch("a")),
        Outcome::Rejected { .. }
    ));
}

#[test]
fn lines_go_to_any_writer_and_a_failure_tears_one_only() {
    let pipe = Shared::default();
    let mut exporter = LinesExporter::new(pipe.clone());
    assert_eq!(export(&mut exporter, batch("a")), Outcome::Exported);
    pipe.0.lock().unwrap().1 = true;
    assert_eq!(
        export(&mut exporter, batch("b")),
        Outcome::rejected("output failed: broken pipe")
    );
    pipe.0.lock().unwrap().1 = false;
    assert_eq!(export(&mut exporter, batch("c")), Outcome::Exported);
    let text = String::from_utf8(pipe.0.lock().unwrap().0.clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    let line = |name| Json::batch(&batch(name)).to_string();
    assert_eq!(lines, [line("a"), line("c")]);
}

/// Scenario: a program prints lines of its own while batches of several writes each go to standard output. Guarantees: every
/// line is one of either. Runs itself again, since a process has one standard output.
#[test]
fn a_line_on_standard_output_is_whole_whatever_else_the_program_prints() {
    const MARK: &str = "SPANWIRE_TEST_PRINTS";
    const OWN: &str = "a line of the program";
    if std::env::var_os(MARK).is_some() {
        println!("\n{OWN}");
        let is_done = Arc::<AtomicBool>::default();
        let told = is_done.clone();
        let prints = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                println!("{OWN}");
            }
        });
        let mut exporter = LinesExporter::stdout();
        for _ in 0..20 {
            let many = (0..4000).flat_map(|_| batch(&"span ".repeat(20)).into_segments());
            let outcome = export(&mut exporter, Batch::from_iter(many));
            assert_eq!(outcome, Outcome::Exported);
        }
        is_done.store(true, Ordering::Relaxed);
        return prints.join().unwrap();
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let test = "a_line_on_standard_output_is_whole_whatever_else_the_program_prints";
    child.env(MARK, "1").args(["--exact", test, "--nocapture"]);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let out = String::from_utf8(output.stdout).unwrap();
    // What tests say of themselves is before and behind.
    let lines = out.lines().skip_while(|line| *line != OWN);
    let (own, lines): (Vec<_>, Vec<_>) = lines.partition(|line| *line == OWN);
    assert!(own.len() > 1, "they are printed side by side");
    let mut requests = 0;
    for line in lines.iter().filter(|line| line.contains("resourceSpans")) {
        let request = serde_json::from_str::<ExportTraceServiceRequest>(line);
        assert!(request.is_ok(), "{} bytes: {request:?}", line.len());
        requests += 1;
    }
    assert_eq!(requests, 20);
}

#[test]
fn a_pipeline_counts_what_its_file_did_not_take() {
    let dir = Dir::new("pipeline");
    let good = FileExporter::builder(dir.file());
    let bad = FileExporter::builder(dir.0.join("missing").join("traces.jsonl"));
    let pipeline = Pipeline::builder()
        .exporter(move || good.clone().build())
        .exporter(move || bad.clone().build())
        .build()
        .unwrap();
    let tracer = pipeline.tracer("scope");
    for _ in 0..10 {
        drop(tracer.start("span"));
    }
    let report = pipeline.shutdown(Duration::from_secs(20));
    assert!(!report.is_complete(), "{report}");
    let [good, bad] = report.lanes() else {
        panic!()
    };
    assert_eq!(good.account.exported, 10);
    assert_eq!(bad.account.dropped.get(DropReason::Rejected), 10);
    assert!(bad.last_failure.as_ref().unwrap().contains("traces.jsonl"));
    assert!(!names_in(&dir.file()).is_empty());
}
