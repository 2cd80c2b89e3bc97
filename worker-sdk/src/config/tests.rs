use super::{Conf, ConfigError, read};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

fn conf(pairs: &[(&str, &str)]) -> Conf {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[derive(Debug, Deserialize)]
struct One<T> {
    x: T,
}

fn one<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    read::<One<T>>(&conf(&[("x", text)])).map(|one| one.x)
}

fn message<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
    one::<T>(text).expect_err("the value is wrong").to_string()
}

#[test]
fn booleans_are_those_of_asbool() {
    for text in ["true", "yes", "on", "y", "t", "1", "True", " ON "] {
        assert_eq!(one::<bool>(text), Ok(true), "{text}");
    }
    for text in ["false", "no", "off", "n", "f", "0", "FALSE"] {
        assert_eq!(one::<bool>(text), Ok(false), "{text}");
    }
    assert_eq!(
        message::<bool>("maybe"),
        "option `x`: expected `true` or `false`, found `maybe`"
    );
    assert_eq!(
        message::<bool>(""),
        "option `x`: expected `true` or `false`, found ``"
    );
}

#[test]
fn integers_are_those_of_asint_within_their_type() {
    assert_eq!(one::<u8>("255"), Ok(255));
    assert_eq!(one::<i64>(" -7 "), Ok(-7));
    assert_eq!(one::<u32>("+5"), Ok(5));
    assert_eq!(one::<u64>("1_000_000"), Ok(1_000_000));
    assert_eq!(
        one::<u128>("340282366920938463463374607431768211455"),
        Ok(u128::MAX)
    );
    assert_eq!(
        message::<u8>("256"),
        "option `x`: expected a whole number from 0 to 255, found `256`"
    );
    for text in ["", "1__0", "_1", "1_", "0x10", "1.0", "1e3", "+-1", "-_1"] {
        assert!(one::<i32>(text).is_err(), "{text}");
    }
}

#[test]
fn floats_take_decimals_and_exponents() {
    assert_eq!(one::<f64>("1.5"), Ok(1.5));
    assert_eq!(one::<f64>("2e3"), Ok(2000.0));
    assert_eq!(one::<f32>("-inf"), Ok(f32::NEG_INFINITY));
    assert_eq!(
        message::<f64>("fast"),
        "option `x`: expected a number, found `fast`"
    );
}

#[test]
fn text_is_taken_as_it_is() {
    assert_eq!(one::<String>("a b  \"c\""), Ok("a b  \"c\"".to_owned()));
    assert_eq!(one::<PathBuf>("/srv/data"), Ok(PathBuf::from("/srv/data")));
    assert_eq!(one::<char>(";"), Ok(';'));
    assert_eq!(
        one::<SocketAddr>("[::1]:80"),
        Ok("[::1]:80".parse().expect("an address"))
    );
    assert!(message::<SocketAddr>("nowhere").contains("`nowhere`"));
}

#[test]
fn lists_are_split_at_white_space() {
    assert_eq!(
        one::<Vec<String>>("a,b\n c\td"),
        Ok(vec!["a,b".to_owned(), "c".to_owned(), "d".to_owned()])
    );
    assert_eq!(one::<Vec<String>>(""), Ok(vec![]));
    assert_eq!(one::<Vec<u16>>("80 443"), Ok(vec![80, 443]));
    assert_eq!(one::<(String, u16)>("host 80"), Ok(("host".to_owned(), 80)));
    assert_eq!(
        message::<Vec<u16>>("80 many"),
        "option `x`: expected a whole number from 0 to 65535, found `80 many`"
    );
    assert!(one::<(u8, u8)>("1 2 3").is_err());
    assert!(one::<(u8, u8)>("1").is_err());
}

#[test]
fn an_option_that_is_absent_or_empty_is_none() {
    assert_eq!(one::<Option<u8>>("7"), Ok(Some(7)));
    assert_eq!(one::<Option<u8>>(""), Ok(None));
    assert_eq!(
        read::<One<Option<u8>>>(&conf(&[])).map(|one| one.x),
        Ok(None)
    );
    assert!(one::<Option<u8>>("x").is_err());
}

#[test]
fn durations_need_a_unit() {
    assert_eq!(one::<Duration>("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(one::<Duration>("10s"), Ok(Duration::from_secs(10)));
    assert_eq!(one::<Duration>("5m"), Ok(Duration::from_secs(300)));
    assert_eq!(
        one::<Option<Duration>>("2h"),
        Ok(Some(Duration::from_secs(7200)))
    );
    for text in [
        "10",
        "s",
        "",
        "1.5s",
        "10 s",
        "-1s",
        "99999999999999999999s",
        "18446744073709551615h",
    ] {
        assert_eq!(
            message::<Duration>(text),
            format!(
                "option `x`: expected a duration such as `500ms`, `10s` or `5m`, found `{text}`"
            )
        );
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    ReadOnly,
    Full,
    Other(u8),
}

#[test]
fn enums_are_taken_by_name() {
    assert_eq!(one::<Mode>("read-only"), Ok(Mode::ReadOnly));
    assert_eq!(
        one::<Vec<Mode>>("full read-only"),
        Ok(vec![Mode::Full, Mode::ReadOnly])
    );
    assert_eq!(
        message::<Mode>("half"),
        "option `x`: expected `read-only`, `full` or `other`, found `half`"
    );
    assert!(one::<Mode>("other").is_err());
}

#[derive(Debug, PartialEq, Deserialize)]
struct Port(u16);

#[test]
fn newtypes_read_as_what_they_hold() {
    assert_eq!(one::<Port>("80"), Ok(Port(80)));
    assert_eq!(one::<Vec<Port>>("80 81"), Ok(vec![Port(80), Port(81)]));
}

#[test]
fn a_struct_inside_cannot_be_written_as_one_value() {
    assert!(message::<One<u8>>("1").starts_with("option `x`: expected struct One"));
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    greeting: String,
    #[serde(default)]
    max_items: u16,
}

#[test]
fn unknown_options_are_refused_only_where_the_struct_says_so() {
    assert!(read::<One<u8>>(&conf(&[("x", "1"), ("y", "2")])).is_ok());
    let error = read::<Strict>(&conf(&[("greeting", "hi"), ("max_item", "3")]))
        .expect_err("a typing error");
    assert_eq!(error.to_string(), "option `max_item` is not known");
    assert_eq!(error.key(), Some("max_item"));
    assert_eq!(
        error.hint().as_deref(),
        Some("the options of this app are `greeting` and `max_items`")
    );
}

#[test]
fn a_missing_option_is_named() {
    let error = read::<Strict>(&conf(&[("max_items", "3")])).expect_err("no greeting");
    assert_eq!(error.to_string(), "option `greeting` is missing");
    assert_eq!(
        error.hint().as_deref(),
        Some("add `greeting = …` to the app's section")
    );
}

#[test]
fn defaults_fill_what_is_absent() {
    let strict = read::<Strict>(&conf(&[("greeting", "hi")]));
    assert_eq!(
        strict,
        Ok(Strict {
            greeting: "hi".to_owned(),
            max_items: 0
        })
    );
}

#[test]
fn a_map_takes_every_option() {
    let all = read::<BTreeMap<String, u8>>(&conf(&[("a", "1"), ("b", "2")]));
    assert_eq!(
        all,
        Ok(BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]))
    );
    assert_eq!(read::<()>(&conf(&[("a", "1")])), Ok(()));
}
