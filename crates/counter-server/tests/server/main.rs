//! The server as its clients see it.

mod setup;

use setup::{Client, server};

#[tokio::test]
async fn a_fresh_server_counts() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    assert_eq!(
        client.ask("PING\r\nINCR a\r\nINCR a\r\nGET a\r\nGET b\r\n", 5).await,
        "+PONG\r\n:1\r\n:2\r\n$1\r\n2\r\n$-1\r\n"
    );
    server.shutdown().await.unwrap();
}
