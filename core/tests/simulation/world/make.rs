//! How a world comes from a seed.

use super::*;

impl World {
    pub(crate) fn new(seed: u64, tell: bool) -> Self {
        let mut rng = Rng::new(seed);
        // In some worlds memory for edits is short.
        let (reserve, door) = if rng.one_in(3) {
            (rng.between(400, 4000), rng.between(0, 3000))
        } else {
            (1 << 20, 1 << 20)
        };
        let limiter = MemoryLimiter::builder(4 << 20)
            .reserve(reserve as usize)
            .own(door as usize)
            .neighbours(door as usize)
            .build()
            .expect("a budget");
        let mut builder = Engine::builder(&limiter);
        builder.seed(seed);
        let exporters: Vec<(usize, Temper)> = (0..rng.between(1, 3))
            .map(|_| (rng.pick(&[1, 1, 2, 4]), Temper::any(&mut rng)))
            .collect();
        let exporter_ids: Vec<ExporterId> = exporters
            .iter()
            .map(|(concurrency, _)| {
                builder.exporter(ExporterSettings {
                    concurrency: *concurrency,
                    timeout: rng
                        .pick(&[None, Some(30_000), Some(1000), Some(30_000)])
                        .map(Duration::from_millis),
                })
            })
            .collect();
        let (mut pipelines, mut lanes) = (Vec::new(), Vec::new());
        let (mut whole, mut edits) = (true, false);
        for pipeline in 0..rng.pick(&[1, 1, 1, 2]) {
            let limit = rng.between(1500, 20_000) as usize;
            let doors = rng.pick(&[[true, true], [true, true], [true, false], [false, true]]);
            let mut settings = PipelineSettings::new(limit);
            for (door, serves) in [Door::Own, Door::Neighbours].into_iter().zip(doors) {
                if serves {
                    settings = settings.door(door);
                }
            }
            if rng.one_in(4) {
                settings = settings.own_charge(rng.between(100, 1500) as usize);
            }
            if rng.one_in(3) {
                settings = settings.overload(Overload::DropOldest);
            }
            if rng.one_in(3) {
                settings = settings.neighbours(rng.between(0, limit as u64) as usize);
            }
            settings = Self::stages(&mut rng, settings, &mut whole, &mut edits);
            for _ in 0..rng.pick(&[1, 1, 2, 3]) {
                let exporter = rng.below(exporters.len() as u64) as usize;
                settings = settings.lane(LaneSettings {
                    max_bytes: rng.pick(&[200, 1000, 3_670_016]),
                    max_spans: rng.pick(&[None, None, Some(1), Some(7)]),
                    linger: Duration::from_millis(rng.pick(&[0, 100, 3000])),
                    retry: rng.pick(&[
                        Retry::default(),
                        Retry::default(),
                        Retry::NEVER,
                        Retry {
                            max_elapsed: None,
                            ..Retry::default()
                        },
                    ]),
                    ..LaneSettings::new(exporter_ids[exporter])
                });
                lanes.push(LaneBook {
                    pipeline,
                    exporter,
                    ..LaneBook::default()
                });
            }
            let id = builder.pipeline(settings);
            pipelines.push(PipelineBook { id, doors, limit });
        }
        let engine = builder.build().expect("an engine");
        let heads = (0..3)
            .map(|n| Head::new(vec![0x1a, 1, b'a' + n].into()))
            .collect();
        Self {
            rng,
            tell,
            now: Moment::from_nanos(1_000_000_000),
            engine,
            limiter,
            pipelines,
            whole,
            edits,
            lanes,
            exporters,
            attempts: BTreeMap::new(),
            last_ticket: None,
            alive: Alive::default(),
            heads,
            numbers: 0,
            pending: Vec::new(),
            born: [0; 2],
            refused: [0; 2],
            accepted: Vec::new(),
            flushes: HashMap::new(),
            closing: None,
            closed: false,
            late: 0,
            reached: Reached::default(),
        }
    }

    fn stages(
        rng: &mut Rng,
        settings: PipelineSettings,
        whole: &mut bool,
        edits: &mut bool,
    ) -> PipelineSettings {
        let limits = BatchLimits {
            bytes: rng.pick(&[0, 300, 2000, BatchLimits::DEFAULT_BYTES]),
            spans: rng.pick(&[None, Some(5), Some(64)]),
            age: rng.pick(&[
                Duration::ZERO,
                Duration::from_secs(1),
                BatchLimits::DEFAULT_AGE,
            ]),
        };
        *whole &= limits.spans.is_none() && limits.bytes == BatchLimits::DEFAULT_BYTES;
        let batcher = || Batcher::new(limits);
        let resource = || Resource(Head::new(vec![0x1a, 1, b'z'].into()));
        let filter = |rng: &mut Rng| Filter {
            rng: Rng::new(rng.next()),
            panics: rng.one_in(2),
        };
        let chain = rng.below(8);
        *edits |= chain == 5 || chain == 6;
        let grows_by = rng.pick(&[0, 20, 100]);
        match chain {
            0 => settings,
            1 => settings.stage(resource()).stage(batcher()),
            2 => settings.stage(batcher()).stage(resource()),
            3 => settings.stage(filter(rng)).stage(batcher()),
            4 => settings
                .stage(batcher())
                .stage(filter(rng))
                .stage(batcher()),
            5 => settings.stage(Copying { grows_by }).stage(batcher()),
            6 => settings.stage(batcher()).stage(Copying { grows_by }),
            _ => settings.stage(batcher()),
        }
    }
}
