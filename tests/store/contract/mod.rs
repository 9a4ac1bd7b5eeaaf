//! What every store does.

/// One test per store of each function named. A new store joins with one line.
macro_rules! on_every_store {
    ($($test:ident),+ $(,)?) => {
        on_every_store!(@ memory: $($test)+);
        on_every_store!(@ sqlite: $($test)+);
        on_every_store!(@ postgres: $($test)+);
        on_every_store!(@ pooled: $($test)+);
    };
    (@ $store:ident: $($test:ident)+) => {
        mod $store {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&crate::fixtures::$store().await.store).await;
            })+
        }
    };
}

mod closing;
mod listing;
mod renewal;
mod resources;
mod settling;
mod spending;
mod tombstones;
