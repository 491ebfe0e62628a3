//! What comes from outside, a server's answer or a setting's text, may be anything: it is read or refused.

use proptest::prelude::*;
use spanwire_core::exporter::Outcome;
use spanwire_transport::endpoint::Endpoint;
use spanwire_transport::headers::Headers;
use spanwire_transport::otlp::grpc::{Code, retry_info, verdict};
use spanwire_transport::otlp::{PartialSuccess, frame_prefix, outcome_of_response, read_frame};

proptest! {
    #[test]
    fn answers(bytes in prop::collection::vec(any::<u8>(), 0..200), message in ".{0,300}", code in -5_i32..30) {
        let _ = read_frame(&bytes);
        let _ = retry_info(&bytes);
        if let Some(partial) = PartialSuccess::decode(&bytes) {
            prop_assert!(!partial.message.chars().any(char::is_control));
        }
        // Whatever stands in it, an answer with the status OK is final.
        let is_final = matches!(
            outcome_of_response(&bytes),
            Outcome::Exported | Outcome::Partial { .. }
        );
        prop_assert!(is_final);
        if let Some(code) = Code::from_number(code) {
            prop_assert_ne!(verdict(code, &message, &bytes), Outcome::Exported);
        }
    }

    #[test]
    fn frames(message in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut framed = frame_prefix(message.len(), false).unwrap().to_vec();
        framed.extend_from_slice(&message);
        prop_assert_eq!(read_frame(&framed), Ok(&message[..]));
    }

    /// What is shown of an endpoint means the same endpoint.
    #[test]
    fn endpoints(text in "(http|https|unix|dns|[a-z]{0,3})?:?/{0,3}[a-z0-9.@:?#/\\[\\] -]{0,30}(:[0-9]{0,6})?/?.{0,3}") {
        match text.parse::<Endpoint>() {
            Ok(endpoint) => prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint)),
            Err(error) => prop_assert!(error.to_string().starts_with("endpoint")),
        }
    }

    /// A value that is taken is never shown; one that is not taken isn't either.
    #[test]
    fn headers(name in ".{0,20}", value in "s3cret.{0,20}") {
        prop_assume!(!name.contains("s3cret"));
        let mut headers = Headers::new();
        let set = headers.set(&name, &value);
        let shown = format!("{headers:?} {set:?}");
        prop_assert!(!shown.contains("s3cret"), "{}", shown);
    }
}
