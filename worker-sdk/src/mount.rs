//! Where in the site a request reached the app.

use http::Request;

/// The mount prefix of a request (its SCRIPT_NAME), percent-encoded and without trailing slash: put it in front of
/// the paths in links. Empty at the root of the site, and where the program runs alone.
///
/// The request's own path does not contain the prefix (unless `strip_prefix = off`).
pub fn mount<B>(request: &Request<B>) -> &str {
    request
        .headers()
        .get("x-script-name")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_what_the_proxy_says_and_empty_without_it() {
        let request = Request::builder()
            .header("X-Script-Name", "/blog")
            .body(())
            .expect("a request");
        assert_eq!(mount(&request), "/blog");
        assert_eq!(mount(&Request::new(())), "");
    }
}
