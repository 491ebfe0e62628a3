#[cfg(feature = "zstd")]
mod zstd_frames {
    use super::super::ZstdFrame;

    /// RFC 8878, 3.1.1.1.2: the exponent and the mantissa of a window.
    #[test]
    fn a_header_says_how_much_memory_a_frame_takes() {
        let magic = [0x28, 0xb5, 0x2f, 0xfd];
        for (rest, window, content) in [
            (&[0x00, 0x00][..], 1 << 10, None),
            (&[0x00, 0x51], (1 << 20) + (1 << 17), None),
            (&[0x00, 0xff], (1 << 41) + 7 * (1 << 38), None),
            (&[0x20, 0x05], 5, Some(5)),
            (&[0x60, 0x00, 0x01], 512, Some(512)),
            (&[0x80, 0x68, 1, 0, 1, 0], 1 << 23, Some(65_537)),
            (
                &[0xe3, 9, 9, 9, 9, 1, 0, 0, 0, 0, 0, 0, 1],
                (1 << 56) + 1,
                Some((1 << 56) + 1),
            ),
        ] {
            let bytes = [&magic[..], rest].concat();
            assert_eq!(
                ZstdFrame::read(&bytes),
                Some(ZstdFrame { window, content }),
                "{rest:x?}"
            );
            for end in 0..bytes.len() {
                assert_eq!(ZstdFrame::read(&bytes[..end]), None, "cut at {end}");
            }
        }
        // A frame that is skipped, and anything else.
        assert_eq!(ZstdFrame::read(b"\x50\x2a\x4d\x18\x00\x00\x00\x00"), None);
    }

    #[test]
    fn the_library_writes_what_is_read() {
        let text = vec![b'a'; 100_000];
        let told = zstd::bulk::compress(&text, 1).unwrap();
        assert_eq!(ZstdFrame::read(&told).unwrap().content, Some(100_000));
        let streamed = zstd::stream::encode_all(&text[..], 1).unwrap();
        let frame = ZstdFrame::read(&streamed).unwrap();
        assert_eq!((frame.window, frame.content), (1 << 19, None));
    }
}

#[cfg(any(feature = "gzip", feature = "zstd"))]
mod bodies {
    use std::io::Write;

    use spanwire_core::limiter::{Door, MemoryLimiter};

    use super::super::super::body::{Draft, Trouble, tests::connection};
    use super::super::Coding;

    fn compressed(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Identity => bytes.to_vec(),
            #[cfg(feature = "gzip")]
            Coding::Gzip => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            #[cfg(feature = "gzip")]
            Coding::Zlib => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            #[cfg(feature = "zstd")]
            Coding::Zstd => zstd::stream::encode_all(bytes, 1).unwrap(),
        }
    }

    /// Scenario: a frame that is small whatever its window, and behind it one that takes the whole of such a window.
    #[cfg(feature = "zstd")]
    #[tokio::test]
    async fn a_later_frame_takes_no_more_memory_than_was_granted() {
        let magic = [0x28, 0xb5, 0x2f, 0xfd];
        let first = [&magic[..], &[0x80, 0x68, 0, 0, 0, 0, 1, 0, 0]].concat();
        let later = [&magic[..], &[0x00, 0x68, 9, 0, 0, b'x']].concat();
        let both = [&first[..], &later[..]].concat();
        for (share, body, expected) in [
            (4 << 20, &first, Some(&b""[..])),
            (4 << 20, &both, None),
            (32 << 20, &both, Some(&b"x"[..])),
        ] {
            let limiter = MemoryLimiter::builder(32 << 20)
                .reserve(0)
                .neighbours(share)
                .build()
                .unwrap();
            let account = limiter.door(Door::Neighbours);
            let connection = connection(1 << 20);
            let mut draft = Draft::begin(&account, &connection, Some(body.len()), 1 << 20).unwrap();
            draft.put(body).unwrap();
            let body = draft.finish();
            let decoded = Coding::Zstd
                .decode(body, &account, &connection, 1 << 20)
                .await;
            let decoded = decoded.ok();
            let text = decoded.as_ref().map(|(buffer, _)| buffer.as_slice());
            assert_eq!(text, expected, "{share}");
        }
    }

    #[tokio::test]
    async fn what_went_in_comes_out_and_nothing_stays_charged() {
        let limiter = MemoryLimiter::builder(32 << 20)
            .reserve(0)
            .neighbours(32 << 20)
            .build()
            .unwrap();
        let account = limiter.door(Door::Neighbours);
        let connection = connection(8 << 20);
        let text: Vec<u8> = (0..1_000_000_u32)
            .flat_map(|n| (n / 7 % 251).to_le_bytes())
            .collect();
        for name in Coding::NAMES.split(',') {
            let coding = Coding::from_name(name).unwrap();
            for len in [0, 1, 70_000, 3_000_000] {
                let text = &text[..len];
                let mut body = compressed(coding, text);
                let begin = |body: &[u8]| {
                    let mut draft =
                        Draft::begin(&account, &connection, Some(body.len()), 8 << 20).unwrap();
                    draft.put(body).unwrap();
                    draft.finish()
                };
                let (buffer, hold) = coding
                    .decode(begin(&body), &account, &connection, 4 << 20)
                    .await
                    .unwrap();
                assert!(buffer.as_slice() == text, "{name} {len}");
                // Not a byte more than it needs.
                assert_eq!(buffer.remaining(), 0);
                drop((buffer, hold));
                assert_eq!(account.in_use(), 0);
                if coding == Coding::Identity || len == 0 {
                    continue;
                }
                // One byte fewer than there are is too few.
                let short = coding
                    .decode(begin(&body), &account, &connection, len - 1)
                    .await;
                assert!(
                    matches!(short, Err(Trouble::TooLarge { most, decompressed: true, .. }) if most == len - 1),
                    "{name} {len}"
                );
                // Two in a row are one, but for zlib, which has no such thing; cut short, or with something behind, it
                // is none.
                let twice = [&body[..], &body[..]].concat();
                let twice = coding.decode(begin(&twice), &account, &connection, 8 << 20);
                match twice.await {
                    Ok((buffer, _)) => assert_eq!(buffer.as_slice().len(), 2 * len),
                    Err(trouble) => {
                        assert_eq!(name, "deflate");
                        let says = "body is no deflate: bytes follow its end";
                        assert_eq!(trouble.to_string(), says);
                    }
                }
                let cut = coding
                    .decode(
                        begin(&body[..body.len() - 1]),
                        &account,
                        &connection,
                        4 << 20,
                    )
                    .await;
                assert!(matches!(cut, Err(Trouble::Garbled { .. })), "{name} {len}");
                body.extend_from_slice(b"garbage");
                let more = coding
                    .decode(begin(&body), &account, &connection, 4 << 20)
                    .await;
                assert!(matches!(more, Err(Trouble::Garbled { .. })), "{name} {len}");
                assert_eq!(account.in_use(), 0);
            }
        }
        assert_eq!(Coding::from_name("br"), None);
        assert_eq!(Coding::from_name("zlib"), Coding::from_name("deflate"));
        assert_eq!(Coding::from_name(" GZip "), Coding::from_name("gzip"));
    }
}
