//! Words that other servers have for settings of ours, for who brings them along.

/// gunicorn's, uWSGI's and nginx's; and what means the same here, or nearly.
const SETTINGS: &[(&str, &str)] = &[
    ("accesslog", "access_log"),
    ("add_header", "response_headers"),
    ("chdir", "directory"),
    ("client_body_timeout", "body_timeout"),
    ("client_header_timeout", "head_timeout"),
    ("client_max_body_size", "max_body"),
    ("error_page", "error_pages"),
    ("forwarded_allow_ips", "trusted_proxy"),
    ("graceful_timeout", "drain_timeout"),
    ("gzip", "compress"),
    ("gzip_min_length", "compress_min_length"),
    ("gzip_types", "compress_types"),
    ("harakiri", "request_timeout"),
    ("keepalive_timeout", "keep_alive_timeout"),
    ("proxy_read_timeout", "request_timeout"),
    ("raw_env", "environment"),
    ("send_timeout", "write_timeout"),
    ("set_real_ip_from", "trusted_proxy"),
    ("timeout", "request_timeout"),
    ("worker_connections", "max_connections"),
    ("workers", "processes"),
];

/// What a server section says.
const OF_SERVERS: &[&str] = &[
    "bind",
    "ca_certs",
    "cert_reqs",
    "certfile",
    "host",
    "https_redirect",
    "keyfile",
    "listen",
    "port",
    "proxy_protocol",
    "ssl_certificate",
    "ssl_crl",
    "ssl_pem",
    "ssl_private_key",
    "unix_socket",
    "url_scheme",
];

/// Where to go with a key that is none of our settings.
pub(super) fn hint(key: &str) -> Option<String> {
    if OF_SERVERS.contains(&key) {
        return Some("it belongs into [server:main]".to_owned());
    }
    let (_, ours) = SETTINGS.iter().find(|(theirs, _)| *theirs == key)?;
    Some(format!("it is `{ours}` here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::keys;

    #[test]
    fn each_names_a_setting_and_is_none() {
        for (theirs, ours) in SETTINGS {
            assert!(keys::key(ours).is_some(), "{ours}");
            assert!(keys::key(theirs).is_none(), "{theirs}");
        }
        for theirs in OF_SERVERS {
            assert!(keys::key(theirs).is_none(), "{theirs}");
        }
    }
}
