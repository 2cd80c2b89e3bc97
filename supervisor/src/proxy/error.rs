//! Everything that can go wrong with a request, and the status that it leads to: decided here and nowhere else.

use super::body::BodyFault;
use http::StatusCode;

/// Why a request is answered by us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProxyError {
    /// Malformed or ambiguous; the connection is closed, for nobody knows what follows.
    #[error("{0}")]
    BadRequest(&'static str),
    #[error("the method is not allowed here")]
    MethodNotAllowed,
    #[error("this version of HTTP is not spoken here")]
    UnknownVersion,
    #[error("the request target is too long")]
    TargetTooLong,
    #[error("the request head is too large")]
    HeadTooLarge,
    #[error("the transfer coding is not supported")]
    UnknownCoding,
    #[error("the request body is too large")]
    BodyTooLarge,
    /// The client's head did not come in time.
    #[error("the request did not come in time")]
    HeadLate,
    /// The client's body did not come in time.
    #[error("the request body did not come in time")]
    BodyLate,
    /// There is no room to keep it until it is complete.
    #[error("there is no room for the request body")]
    BodyNotKept,
    #[error("nothing is here")]
    NotFound,
    /// A file that we may not read, or that is not where it seems to be.
    #[error("this file may not be read")]
    FileForbidden,
    #[error("files can only be read")]
    FileReadOnly,
    /// If-Match or If-Unmodified-Since does not hold.
    #[error("the file is not as the request expects it to be")]
    FileChanged,
    #[error("the file has no such part")]
    NoSuchRange { length: u64 },
    /// The system, or this process, cannot open it now.
    #[error("this file cannot be read at the moment")]
    FileUnavailable,
    /// The part of the configuration that serves this path cannot be loaded.
    #[error("this part of the site could not be loaded")]
    Unloadable { reason: String },
    #[error("the application was stopped")]
    Stopped,
    /// It is closed to clients by hand, and may well run.
    #[error("{}", message.as_deref().unwrap_or("the application is being maintained, and will be back"))]
    Maintenance {
        message: Option<String>,
        retry_after_s: u64,
    },
    #[error("the application fails to start")]
    Failed { retry_after_s: u64 },
    /// It runs elsewhere, and nobody answers there.
    #[error("the application cannot be reached")]
    Unreachable,
    /// It was in flight when workers died, several times in a row.
    #[error("this request is refused for a while")]
    Deadly { retry_after_s: u64, deaths: u32 },
    #[error("too many requests are waiting for the application")]
    QueueFull,
    #[error("no worker of the application became free in time")]
    QueueTimeout,
    /// The worker ended the connection before the first byte of its response.
    #[error("the worker ended without an answer")]
    WorkerGone,
    /// What the worker said is no HTTP/1.1 response to this request.
    #[error("the worker's answer is not valid")]
    BadAnswer,
    #[error("the worker did not answer in time")]
    WorkerLate,
}

/// Seconds for `Retry-After` when nothing better is known.
const RETRY_SOON: u64 = 1;

impl ProxyError {
    /// Of a request body that did not arrive.
    pub(super) fn of_body(fault: Option<BodyFault>) -> Self {
        match fault {
            Some(BodyFault::Late) => Self::BodyLate,
            Some(BodyFault::TooLarge) => Self::BodyTooLarge,
            Some(BodyFault::NotKept) => Self::BodyNotKept,
            Some(BodyFault::Broken) | None => {
                Self::BadRequest("the request body is malformed or incomplete")
            }
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed | Self::FileReadOnly => StatusCode::METHOD_NOT_ALLOWED,
            Self::FileForbidden => StatusCode::FORBIDDEN,
            Self::FileChanged => StatusCode::PRECONDITION_FAILED,
            Self::NoSuchRange { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::HeadLate | Self::BodyLate => StatusCode::REQUEST_TIMEOUT,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unloadable { .. }
            | Self::Stopped
            | Self::Maintenance { .. }
            | Self::Failed { .. }
            | Self::Deadly { .. }
            | Self::BodyNotKept
            | Self::FileUnavailable
            | Self::QueueFull
            | Self::Unreachable
            | Self::QueueTimeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::WorkerGone | Self::BadAnswer => StatusCode::BAD_GATEWAY,
            Self::WorkerLate => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Seconds after which it makes sense to try again.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::QueueFull
            | Self::QueueTimeout
            | Self::Unreachable
            | Self::BodyNotKept
            | Self::FileUnavailable => Some(RETRY_SOON),
            Self::Failed { retry_after_s }
            | Self::Deadly { retry_after_s, .. }
            | Self::Maintenance { retry_after_s, .. } => Some((*retry_after_s).max(RETRY_SOON)),
            _ => None,
        }
    }

    /// Nothing more can be read from this client: it is not known where the next request would begin.
    pub(super) fn closes(&self) -> bool {
        matches!(
            self,
            Self::BadRequest(_)
                | Self::MethodNotAllowed
                | Self::TargetTooLong
                | Self::HeadTooLarge
                | Self::UnknownCoding
                | Self::UnknownVersion
                | Self::HeadLate
                | Self::BodyTooLarge
                | Self::BodyLate
                | Self::BodyNotKept
                // Another proxy may be able to.
                | Self::FileUnavailable
        )
    }

    /// The death of a worker may explain it.
    pub(super) fn is_about_a_worker(&self) -> bool {
        matches!(
            self,
            Self::WorkerGone
                | Self::WorkerLate
                | Self::Failed { .. }
                | Self::Deadly { .. }
                | Self::QueueTimeout
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_told_when_to_come_back() {
        assert_eq!(ProxyError::QueueFull.retry_after(), Some(1));
        assert_eq!(
            ProxyError::Failed { retry_after_s: 9 }.retry_after(),
            Some(9)
        );
        assert_eq!(ProxyError::WorkerGone.retry_after(), None);
    }

    #[test]
    fn ambiguous_requests_close_the_connection() {
        assert!(ProxyError::BadRequest("x").closes());
        assert!(!ProxyError::NotFound.closes());
        assert!(!ProxyError::QueueFull.closes());
    }
}
