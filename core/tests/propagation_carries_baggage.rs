//! W3C Baggage: vectors, limits, coding, malformed members.
#![cfg(feature = "std")]

use spanwire_core::context::{Baggage, BaggageRef, InvalidBaggage};
use spanwire_core::propagation::{BaggageHeader, Context, Propagator};

type Headers = Vec<(String, String)>;

fn extract(headers: &[(&str, &str)]) -> Baggage {
    let mut context = Context::EMPTY;
    BaggageHeader.extract(&headers, &mut context);
    context.baggage().clone()
}

fn inject(baggage: &Baggage) -> Headers {
    let mut carrier = Headers::new();
    BaggageHeader.inject(&Context::EMPTY.with_baggage(baggage.clone()), &mut carrier);
    carrier
}

fn pairs(baggage: &Baggage) -> Vec<(String, String, String)> {
    baggage
        .iter()
        .map(|member| {
            (
                member.key.to_owned(),
                member.value.to_string(),
                member.metadata.to_owned(),
            )
        })
        .collect()
}

#[test]
fn values_are_percent_encoded() {
    for (value, encoded) in [
        ("DF 28", "DF%2028"),
        ("Amélie", "Am%C3%A9lie"),
        ("B% 💼", "B%25%20%F0%9F%92%BC"),
        ("a,b;c\\\"", "a%2Cb%3Bc%5C%22"),
        ("x=y", "x=y"),
        ("", ""),
        ("a+b", "a%2Bb"),
    ] {
        let baggage = Baggage::EMPTY.insert("k", value).unwrap();
        assert_eq!(baggage.as_str(), format!("k={encoded}"));
        let headers = inject(&baggage);
        assert_eq!(headers, [("baggage".to_owned(), format!("k={encoded}"))]);
        assert!(Baggage::parse(&headers[0].1).get("k").unwrap() == value);
    }
}

#[test]
fn every_octet_stands_for_itself_or_is_encoded() {
    for byte in 0..=0x7f_u8 {
        let value = char::from(byte).to_string();
        let baggage = Baggage::EMPTY.insert("k", &value).unwrap();
        let plain = matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
            && !matches!(byte, b'%' | b'+');
        let expected = if plain {
            format!("k={value}")
        } else {
            format!("k=%{byte:02X}")
        };
        assert_eq!(baggage.as_str(), expected);
        assert!(baggage.get("k").unwrap() == value.as_str());
    }
}

#[test]
fn bytes_that_are_no_text_become_replacement_characters() {
    for (encoded, decoded) in [
        ("%C3", "\u{fffd}"),
        ("%C3x", "\u{fffd}x"),
        ("%80%80", "\u{fffd}\u{fffd}"),
        ("%F0%9F%92", "\u{fffd}"),
        ("%ED%A0%80", "\u{fffd}\u{fffd}\u{fffd}"),
        ("%C0%AF", "\u{fffd}\u{fffd}"),
        ("a%FFb", "a\u{fffd}b"),
        // A percent sign without two digits is itself.
        ("%", "%"),
        ("%4", "%4"),
        ("%zz%41", "%zzA"),
        ("%c3%a9", "é"),
    ] {
        let text = format!("k={encoded}");
        let value = BaggageRef::new(&text).get("k").unwrap();
        assert_eq!(value.to_string(), decoded, "{encoded}");
        assert_eq!(value.as_encoded(), encoded);
    }
}

#[test]
fn white_space_and_metadata_are_understood() {
    let baggage = Baggage::parse("k = v ; prop ; pk = pv\t, \tk2=v2;p=1, k3 = a=b");
    assert_eq!(
        pairs(&baggage),
        [
            ("k", "v", "prop ; pk = pv"),
            ("k2", "v2", "p=1"),
            ("k3", "a=b", "")
        ]
        .map(|(key, value, metadata)| (key.into(), value.into(), metadata.into()))
    );
    assert_eq!(baggage.as_str(), "k=v;prop ; pk = pv,k2=v2;p=1,k3=a=b");
    assert_eq!(Baggage::parse(baggage.as_str()), baggage);
}

#[test]
fn metadata_travels_unchanged() {
    let baggage = Baggage::EMPTY
        .insert_with_metadata("k", "v", "prop;pk=pv")
        .unwrap();
    assert_eq!(baggage.as_str(), "k=v;prop;pk=pv");
    let back = extract(&[("baggage", baggage.as_str())]);
    assert_eq!(back.member("k").unwrap().metadata, "prop;pk=pv");
    for bad in ["a,b", "ä", "a\"b", "\n"] {
        assert_eq!(
            Baggage::EMPTY.insert_with_metadata("k", "v", bad),
            Err(InvalidBaggage::Metadata)
        );
    }
}

#[test]
fn malformed_members_are_skipped_alone() {
    for (text, kept) in [
        ("novalue,a=1", "a=1"),
        ("=x,a=1", "a=1"),
        ("a=1,,b=2,", "a=1,b=2"),
        ("a b=1,b=2", "b=2"),
        ("a=1 2,b=2", "b=2"),
        ("a=\"1\",b=2", "b=2"),
        ("a=\\,b=2", "b=2"),
        ("ä=1,b=2", "b=2"),
        ("a=ä,b=2", "b=2"),
        ("a=1;\"p\",b=2", "b=2"),
        ("", ""),
        (" , ,\t", ""),
        (";=;", ""),
    ] {
        assert_eq!(Baggage::parse(text).as_str(), kept, "{text}");
    }
    assert_eq!(
        Baggage::parse(b"\xff=1,a=1,b=\xc3".as_slice()).as_str(),
        "a=1"
    );
}

#[test]
fn the_last_of_one_name_wins() {
    assert_eq!(Baggage::parse("a=1,b=2,a=3").as_str(), "a=3,b=2");
    assert!(BaggageRef::new("a=1,b=2,a=3").get("a").unwrap() == "3");
    assert_eq!(
        extract(&[("baggage", "a=1"), ("Baggage", "b=2, a=3")]).as_str(),
        "a=3,b=2"
    );
    // Names are case-sensitive.
    assert_eq!(Baggage::parse("a=1,A=2").as_str(), "a=1,A=2");
}

#[test]
fn setting_and_removing_leave_the_rest_alone() {
    let baggage = Baggage::parse("a=1,b=2;p,c=3");
    assert_eq!(baggage.insert("b", "x").unwrap().as_str(), "a=1,b=x,c=3");
    assert_eq!(
        baggage.insert("d", "4").unwrap().as_str(),
        "a=1,b=2;p,c=3,d=4"
    );
    assert_eq!(baggage.remove("a").as_str(), "b=2;p,c=3");
    assert_eq!(baggage.remove("c").as_str(), "a=1,b=2;p");
    assert_eq!(baggage.remove("z"), baggage);
    assert_eq!(baggage.as_str(), "a=1,b=2;p,c=3");
    for key in ["", "a b", "a=", "a,", "ä", "a;", "\""] {
        assert_eq!(baggage.insert(key, "1"), Err(InvalidBaggage::Key));
    }
}

#[test]
fn sixty_four_members_are_carried_and_no_more() {
    let members: Vec<_> = (0..65).map(|n| format!("k{n}={n}")).collect();
    let full = members[..64].join(",");
    assert_eq!(Baggage::parse(&full).as_str(), full);
    assert_eq!(Baggage::parse(&members.join(",")).as_str(), full);
    assert_eq!(BaggageRef::new(&members.join(",")).iter().count(), 64);
    let full = Baggage::parse(&full);
    assert_eq!(
        full.insert("k64", "64"),
        Err(InvalidBaggage::TooManyMembers)
    );
    assert!(full.insert("k63", "again").is_ok());
    // Over several headers too.
    let (left, right) = members.split_at(40);
    let (left, right) = (left.join(","), right.join(","));
    let both = extract(&[("baggage", &left), ("baggage", &right)]);
    assert_eq!(both, full);
}

#[test]
fn eight_thousand_bytes_are_carried_and_no_more() {
    // 8 members of 1023 bytes and 7 commas, then one that ends exactly at the limit or one byte past it.
    let member = |n: usize, len: usize| format!("{n}={}", "v".repeat(len - 2));
    let most: Vec<_> = (0..7).map(|n| member(n, 1023)).collect();
    let with = |last: usize| format!("{},{}", most.join(","), member(7, last));
    let exact = with(1024);
    assert_eq!(exact.len(), 8192);
    assert_eq!(Baggage::parse(&exact).as_str(), exact);
    let over = with(1025);
    assert_eq!(over.len(), 8193);
    assert_eq!(Baggage::parse(&over).as_str(), most.join(","));
    assert_eq!(BaggageRef::new(&over).iter().count(), 7);
    // A member past the limit goes whole even if a comma stands at the limit, and those after it with it.
    assert_eq!(Baggage::parse(&format!("{exact},z=1")).as_str(), exact);
    // The limit counts over all headers, as if they were joined.
    let (left, right) = (most.join(","), member(7, 1024));
    let both = extract(&[("baggage", &left), ("baggage", &right)]);
    assert_eq!(both.as_str(), exact);
    let right = member(7, 1025);
    assert_eq!(
        extract(&[("baggage", &left), ("baggage", &right)]).as_str(),
        left
    );
    // The same for what is set here.
    let full = Baggage::parse(&exact);
    assert_eq!(full.insert("z", ""), Err(InvalidBaggage::TooLong));
    assert!(full.insert("7", &"v".repeat(1022)).is_ok());
    assert_eq!(
        full.insert("7", &"v".repeat(1023)),
        Err(InvalidBaggage::TooLong)
    );
    assert_eq!(
        full.insert("7", &" ".repeat(341)),
        Err(InvalidBaggage::TooLong)
    );
}

#[test]
fn no_baggage_leaves_what_is_known() {
    let mut context = Context::EMPTY.with_baggage(Baggage::parse("a=1"));
    BaggageHeader.extract(&[("other", "x")], &mut context);
    BaggageHeader.extract(&[("baggage", "malformed")], &mut context);
    assert_eq!(context.baggage().as_str(), "a=1");
    assert!(inject(&Baggage::EMPTY).is_empty());
}
