//! Every RPC and what it takes to call it. Absence is a refusal; a test holds this table against the contract.

/// What it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// No identity: health and reflection tell nothing about tenants.
    Public,
    /// A consumer of the tenant that the request names; the handler asks, since it knows the name.
    Consumer,
    /// A platform operator.
    Operator,
}

/// By path. The most frequent one first.
const POLICY: [(&str, Access); 27] = [
    ("/tokenbroker.v1.TokenService/GetAccessToken", Access::Consumer),
    ("/tokenbroker.v1.TenantService/CreateTenant", Access::Operator),
    ("/tokenbroker.v1.TenantService/GetTenant", Access::Operator),
    ("/tokenbroker.v1.TenantService/ListTenants", Access::Operator),
    ("/tokenbroker.v1.TenantService/UpdateTenant", Access::Operator),
    ("/tokenbroker.v1.TenantService/DeleteTenant", Access::Operator),
    ("/tokenbroker.v1.OAuthClientService/CreateOAuthClient", Access::Operator),
    ("/tokenbroker.v1.OAuthClientService/GetOAuthClient", Access::Operator),
    ("/tokenbroker.v1.OAuthClientService/ListOAuthClients", Access::Operator),
    ("/tokenbroker.v1.OAuthClientService/UpdateOAuthClient", Access::Operator),
    ("/tokenbroker.v1.OAuthClientService/DeleteOAuthClient", Access::Operator),
    ("/tokenbroker.v1.OAuthClientService/AddClientSecret", Access::Operator),
    ("/tokenbroker.v1.OAuthClientService/PromoteClientSecret", Access::Operator),
    ("/tokenbroker.v1.ConnectionService/CreateConnection", Access::Operator),
    ("/tokenbroker.v1.ConnectionService/GetConnection", Access::Operator),
    ("/tokenbroker.v1.ConnectionService/ListConnections", Access::Operator),
    ("/tokenbroker.v1.ConnectionService/UpdateConnection", Access::Operator),
    ("/tokenbroker.v1.ConnectionService/DeleteConnection", Access::Operator),
    ("/tokenbroker.v1.ConnectionService/ImportConnection", Access::Operator),
    ("/tokenbroker.v1.ConnectionService/RefreshConnection", Access::Operator),
    ("/tokenbroker.v1.ConnectionService/InspectConnection", Access::Operator),
    ("/tokenbroker.v1.ConnectionService/ResolveConnection", Access::Operator),
    ("/grpc.health.v1.Health/Check", Access::Public),
    ("/grpc.health.v1.Health/Watch", Access::Public),
    ("/grpc.health.v1.Health/List", Access::Public),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Public),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Public),
];

/// What it takes to call `path`; `None`: nobody may.
#[must_use]
pub fn access_to(path: &str) -> Option<Access> {
    POLICY.iter().find(|(listed, _)| *listed == path).map(|(_, access)| *access)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn every_rpc_of_the_contract_is_listed_and_nothing_else() {
        let descriptors = prost_types::FileDescriptorSet::decode(token_broker_proto::DESCRIPTORS).unwrap();
        let rpcs: Vec<String> = descriptors
            .file
            .iter()
            .filter(|file| file.package() == "tokenbroker.v1")
            .flat_map(|file| &file.service)
            .flat_map(|service| {
                let path = |method: &prost_types::MethodDescriptorProto| {
                    format!("/tokenbroker.v1.{}/{}", service.name(), method.name())
                };
                service.method.iter().map(path).collect::<Vec<_>>()
            })
            .collect();
        for rpc in &rpcs {
            assert!(
                matches!(access_to(rpc), Some(Access::Consumer | Access::Operator)),
                "{rpc} has no policy"
            );
        }
        let listed = POLICY.iter().filter(|(path, _)| path.starts_with("/tokenbroker.v1.")).count();
        assert_eq!(listed, rpcs.len(), "the policy names an RPC that does not exist");
    }

    #[test]
    fn what_is_not_listed_is_refused() {
        assert_eq!(access_to("/tokenbroker.v1.TokenService/Anything"), None);
        assert_eq!(access_to("/tokenbroker.v1.TokenService/GetAccessToken/"), None);
        assert_eq!(access_to(""), None);
    }
}
