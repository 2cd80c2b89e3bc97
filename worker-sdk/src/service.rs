//! What `serve` takes: hyper's services and tower's, by one name.

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::service::TowerToHyperService;

/// Anything that answers requests: a [`hyper::service::Service`] (such as `service_fn`) or a tower service (such as an
/// axum `Router`). `Kind` tells the two apart and is always inferred.
///
/// It is cloned for each connection. An error that it returns closes the connection without an answer (the client gets
/// a 502), so answer with a status instead where you can.
pub trait HttpService<Kind> {
    #[doc(hidden)]
    type Body;
    #[doc(hidden)]
    type Service: hyper::service::Service<Request<Incoming>, Response = Response<Self::Body>>;

    #[doc(hidden)]
    fn into_service(self) -> Self::Service;
}

/// Marks hyper's services.
#[derive(Debug)]
pub struct Hyper;

/// Marks tower's services.
#[derive(Debug)]
pub struct Tower;

impl<S, B> HttpService<Hyper> for S
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>>,
    B: Body,
{
    type Body = B;
    type Service = S;

    fn into_service(self) -> S {
        self
    }
}

impl<S, B> HttpService<Tower> for S
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>> + Clone,
    B: Body,
{
    type Body = B;
    type Service = TowerToHyperService<S>;

    fn into_service(self) -> TowerToHyperService<S> {
        TowerToHyperService::new(self)
    }
}
