//! Lists of trusted addresses.

use super::keys::Wrong;
use super::values::each_line;
use std::net::IpAddr;

/// Reads addresses and networks separated by white space or commas: `10.0.0.0/8 ::1 unix`; `*` is everybody.
/// Each comes back as CIDR (or `unix`), which is what the proxy compares.
///
/// # Errors
/// What was expected, when an item is anything else.
pub(super) fn networks(text: &str) -> Result<Vec<String>, Wrong> {
    let mut networks = Vec::new();
    each_line(text, |line| {
        let items = line.split(|c: char| c.is_whitespace() || c == ',');
        for item in items.filter(|item| !item.is_empty()) {
            match item {
                "*" => networks.extend(["0.0.0.0/0", "::/0", "unix"].map(str::to_owned)),
                "unix" => networks.push(item.to_owned()),
                "localhost" => networks.extend(["127.0.0.0/8", "::1/128"].map(str::to_owned)),
                _ => networks.push(network(item).ok_or_else(|| {
                    format!("expected addresses or networks such as `10.0.0.0/8`, `::1` or `unix`, found `{item}`")
                })?),
            }
        }
        Ok(())
    })?;
    Ok(networks)
}

fn network(item: &str) -> Option<String> {
    let (address, length) = match item.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (item, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(longest), |length| {
        length.parse::<u8>().ok().filter(|l| *l <= longest)
    })?;
    Some(format!("{address}/{length}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_one() {
        assert_eq!(
            networks("10.1.2.3, ::1"),
            Ok(vec!["10.1.2.3/32".to_owned(), "::1/128".to_owned()])
        );
        assert_eq!(
            networks("10.0.0.0/8 unix"),
            Ok(vec!["10.0.0.0/8".to_owned(), "unix".to_owned()])
        );
        assert_eq!(networks(" "), Ok(vec![]));
        assert_eq!(networks("*").map(|all| all.len()), Ok(3));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in [
            "10.0.0.0/33",
            "::/129",
            "example.org",
            "10.0.0/8",
            "10.0.0.0/",
        ] {
            let wrong = networks(text).expect_err(text);
            assert!(wrong.expected.contains(text), "{text}");
        }
        let wrong = networks("10.0.0.0/8\n ::1, 10.0.0.1\n ::1 nobody\n").expect_err("a name");
        assert_eq!(wrong.line, Some(2));
    }
}
