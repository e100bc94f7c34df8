use tokio_rustls::rustls::crypto::aws_lc_rs;

/// Returns random bytes for secrets.
///
/// # Panics
///
/// If the operating system has no randomness to give.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let random = aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
