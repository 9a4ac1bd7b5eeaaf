//! `Debug` of the messages that carry secrets. The attack it stops: a `{:?}` in somebody's log line.

use std::fmt;

use crate::v1::{AddClientSecretRequest, GetAccessTokenResponse, ImportConnectionRequest};

impl fmt::Debug for GetAccessTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetAccessTokenResponse")
            .field("generation", &self.generation)
            .field("expire_time", &self.expire_time)
            .field("advice", &self.advice)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AddClientSecretRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddClientSecretRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for ImportConnectionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportConnectionRequest").field("name", &self.name).finish_non_exhaustive()
    }
}
