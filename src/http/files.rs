//! Static files (`-F`).

use super::Body;
use crate::config::StaticFile;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::{
    Response, StatusCode,
    body::{Bytes, Frame},
    header,
};
use std::io;
use tokio::{fs::File, io::AsyncReadExt};

/// Maximum number of bytes to read from a file at once.
const PIECE: usize = 64 * 1024;

/// A response with the content of the file, which is read while it is sent.
///
/// # Errors
/// 404 if the file does not exist, 500 if it cannot be read.
pub async fn serve(file: &StaticFile) -> Result<Response<Body>, StatusCode> {
    let opened = File::open(&file.path).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    })?;
    let length = opened.metadata().await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?.len();
    // The response must not exceed its Content-Length, even if the file grows meanwhile.
    let pieces = stream::try_unfold(opened.take(length), |mut file| async move {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece).await?;
        Ok((read > 0).then(|| (Frame::data(Bytes::from(piece)), file)))
    });
    Response::builder()
        .header(header::CONTENT_TYPE, file.content_type.clone())
        .header(header::CONTENT_LENGTH, length)
        .body(Body::new(StreamBody::new(pieces)))
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
