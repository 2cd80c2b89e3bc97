//! An HTTP/2 client of which every frame can be told what to do.

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{Request, Response};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A connection; its task ends with it.
pub(crate) struct Connection {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) ended: JoinHandle<Result<(), h2::Error>>,
}

/// Runs a client.
pub(crate) fn run<T>(client: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async {
            tokio::time::timeout(3 * super::DEADLINE, client)
                .await
                .expect("all answers come in time")
        })
}

impl Connection {
    /// Without asking: the server is known to speak it. Returns when its settings are there.
    pub(crate) async fn open(address: SocketAddr) -> Connection {
        let socket = TcpStream::connect(address).await.expect("a connection");
        let (requests, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        let ended = tokio::spawn(connection);
        while !requests.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Connection { requests, ended }
    }

    /// The head of the answer to a request without a body.
    pub(crate) async fn ask(
        &mut self,
        request: Request<()>,
    ) -> Result<Response<RecvStream>, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        requests.send_request(request, true)?.0.await
    }
}

/// `https://a.example/PATH`, to be sent.
pub(crate) fn get(path: &str) -> Request<()> {
    Request::get(format!("https://a.example{path}"))
        .body(())
        .expect("a valid target")
}

/// All of a body.
pub(crate) async fn body(response: Response<RecvStream>) -> Result<Vec<u8>, h2::Error> {
    let mut stream = response.into_body();
    let mut all = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok(all)
}
