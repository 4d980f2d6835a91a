//! Properties: no bytes panic, good neighbours survive, and on generated documents the decoder says what serde_json says.

use crate::reader::read_pieces;
use crate::support::{decode, job, words};
use proptest::prelude::*;
use serde_json::{Map, Value};
use tidewatch::config::{Job, TimeFormat};
use tidewatch::decode::{Decoder, Options};
use tidewatch::time::EventTime;

const FIELDS: [&str; 5] = ["a", "a.b", "a.b.c", "b.a", "c"];

fn fields_job() -> Job {
    job("t", TimeFormat::Auto, &FIELDS)
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z \\\\\"\n\t/]{0,12}",
        any::<String>().prop_map(|s| s.chars().take(12).collect())
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (i64::MAX as u64..).prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has finite numbers only", |x| x.is_finite())
            .prop_map(Value::from),
        (-1000..1000).prop_map(|n| Value::from(f64::from(n) / 8.0)),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![4 => "[abc](\\.[abc]){0,2}", 1 => "[a-é\"\\\\]{0,3}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn document() -> impl Strategy<Value = Map<String, Value>> {
    let key = prop_oneof!["[abc](\\.[abc]){0,2}", "[abcdt]"];
    prop::collection::vec((key, value()), 0..6).prop_map(|pairs| {
        let mut document: Map<String, Value> =
            pairs.into_iter().filter(|(key, _)| key != "t").collect();
        document.insert("t".into(), 7.into());
        document
    })
}

/// What the paths hold by the rules of docs/events.md, the slow way: every key in order, the last word on a path counts.
fn expected(object: &Map<String, Value>, prefix: &str, found: &mut [Value]) {
    for (key, value) in object {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        if let Some(slot) = FIELDS.iter().position(|field| *field == path) {
            found[slot] = plain(value);
        }
        if let Value::Object(inner) = value {
            expected(inner, &path, found);
        }
    }
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Object(_) => Value::Null,
        Value::Array(list) => {
            let list: Vec<Value> = list
                .iter()
                .filter(|v| !v.is_array() && !v.is_object() && !v.is_null())
                .map(plain)
                .collect();
            if list.is_empty() {
                Value::Null
            } else {
                list.into()
            }
        }
        Value::Number(number) if number.is_u64() && number.as_i64().is_none() => {
            number.to_string().into()
        }
        other => other.clone(),
    }
}

fn leaves(value: &Value) -> usize {
    match value {
        Value::Object(object) => object
            .values()
            .map(|value| usize::from(!value.is_object()) + leaves(value))
            .sum(),
        Value::Array(list) => list.iter().map(leaves).sum(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn a_document_says_what_serde_json_says(document in document(), pretty: bool) {
        let whole = Value::Object(document.clone());
        let text = if pretty { format!("{whole:#}") } else { whole.to_string() };
        let mut values = vec![Value::Null; FIELDS.len()];
        expected(&document, "", &mut values);
        prop_assert_eq!(decode(&fields_job(), text.as_bytes(), None), [Ok((7, values))], "{}", text);
        let mut fields = 0;
        Decoder::new(&fields_job()).payload(text.as_bytes(), None, &mut |event| {
            fields = event.expect("an event").raw_fields as usize;
        });
        prop_assert_eq!(fields + 1, leaves(&whole), "{}", text);
    }

    #[test]
    fn what_a_document_says_does_not_depend_on_those_before_it(
        documents in prop::collection::vec(document(), 1..8),
        turns in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<prop::sample::Index>(), 0..6), 1..40),
    ) {
        let mut job = fields_job();
        job.feed.presences = vec!["b".into(), "a.c".into()];
        let mut decoder = Decoder::new(&job);
        for (which, pretty, at, change) in turns {
            let whole = Value::Object(which.get(&documents).clone());
            let mut text = if pretty { format!("{whole:#}") } else { whole.to_string() }.into_bytes();
            let at = at.index(text.len());
            match change {
                0 => text.truncate(at),
                1 => text[at] = b' ',
                2 => text.insert(at, b' '),
                _ => {}
            }
            prop_assert_eq!(said(&mut decoder, &text), said(&mut Decoder::new(&job), &text), "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn what_serde_json_refuses_is_refused_and_what_it_takes_is_taken(document in document(), at: prop::sample::Index, byte: u8) {
        let mut bytes = Value::Object(document).to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let is_json = serde_json::from_slice::<Map<String, Value>>(&bytes).is_ok();
        let found = words(&decode(&fields_job(), &bytes, None));
        let refused = found.iter().any(|word| word == "malformed" || word == "wrong_type");
        let shown = String::from_utf8_lossy(&bytes);
        // Two liberties: half a surrogate pair, and a number beyond a float in a field that nobody reads.
        let liberty = shown.contains("\\u") || shown.contains(['e', 'E']);
        prop_assert!(refused != is_json || liberty && !is_json || found == ["wrong_type"], "{}: {:?}", shown, found);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_arrive_the_same_in_any_pieces(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1..40_usize) {
        check_pieces(&bytes, piece)?;
    }

    #[test]
    fn bytes_like_json_never_panic_and_arrive_the_same_in_any_pieces(text in "([{}\\[\\],:\"\\\\ \n]|\"t\":1|\"a\":2|null|[0-9.e-]|é){0,60}", piece in 1..40_usize) {
        check_pieces(text.as_bytes(), piece)?;
    }

    #[test]
    fn bytes_like_csv_never_panic_and_keep_their_shape(text in "([a-c,\"\r\n]|t){0,80}", piece in 1..40_usize) {
        let text = format!("t,a\n{text}");
        check_pieces(text.as_bytes(), piece)?;
    }

    #[test]
    fn good_lines_survive_any_line_between_them(good in document(), middle in any::<Vec<u8>>(), cut: prop::sample::Index) {
        let line = Value::Object(good).to_string();
        let broken = &line.as_bytes()[..cut.index(line.len())];
        let noise: Vec<u8> = middle.into_iter().filter(|byte| *byte != b'\n').collect();
        for bad in [broken, &noise] {
            let bytes = [line.as_bytes(), b"\n", bad, b"\n", line.as_bytes(), b"\n", line.as_bytes()].concat();
            let found = words(&decode(&fields_job(), &bytes, None));
            let good = found.iter().filter(|word| *word == "7").count();
            prop_assert!(good >= 3, "{:?}: {:?}", String::from_utf8_lossy(&bytes), found);
        }
    }
}

/// Everything that a decoder says of a payload.
fn said(decoder: &mut Decoder, payload: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    decoder.payload(payload, Some(EventTime(7)), &mut |outcome| {
        words.push(format!("{outcome:?}"));
    });
    words
}

/// A decoder remembers in what order keys came; objects whose keys are others every time fill that memory again and again.
#[test]
fn keys_that_are_new_every_time_and_keys_that_come_again_are_read_alike() {
    let job = fields_job();
    let mut decoder = Decoder::new(&job);
    for n in 0..3000 {
        let text = match n % 3 {
            0 => format!(
                r#"{{"t":{n},"x{n}":1,"a":{{"b":{{"c":{n},"k{n}-of-a-long-name":{{}}}}}},"c":"{n}"}}"#
            ),
            1 => format!(r#"{{"c":"{n}","a":{{"k{n}":0,"b":{n}}},"t":{n},"c":[{n}]}}"#),
            _ => format!(r#"{{"t" : {n}, "a.b.c":{n},"\u0061.b":1,"b":{{"a":null}},"y{n}":"z"}}"#),
        };
        let payload = text.as_bytes();
        let alone = said(&mut Decoder::new(&job), payload);
        assert!(alone[0].starts_with("Ok"), "{alone:?}");
        assert_eq!(said(&mut decoder, payload), alone, "{text}");
    }
}

/// Small limits, so that they are met; an unusable CSV header is an error, and the same one.
fn check_pieces(bytes: &[u8], piece: usize) -> Result<(), TestCaseError> {
    let options = Options {
        bytes_max: 64,
        ..Options::default()
    };
    decode(&fields_job(), bytes, Some(0));
    let read = |piece| {
        read_pieces(&fields_job(), bytes, piece, options)
            .map(|(found, _)| words(&found))
            .map_err(|e| e.to_string())
    };
    prop_assert_eq!(
        read(piece),
        read(1 << 20),
        "{:?} by {}",
        String::from_utf8_lossy(bytes),
        piece
    );
    Ok(())
}
