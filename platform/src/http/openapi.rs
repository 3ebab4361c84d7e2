//! The OpenAPI document of a service.

use std::borrow::Cow;

use utoipa::openapi::{
    Components, ContentBuilder, Info, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder,
    path::Operation,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::Problem;

/// The document of a service's routes: named, and with the problem every operation may answer.
pub(crate) fn openapi<S>(
    name: &str,
    about: &str,
    routes: Option<fn() -> OpenApiRouter<S>>,
) -> OpenApi
where
    S: Clone + Send + Sync + 'static,
{
    let document = routes.map(|routes| routes().into_openapi()).unwrap_or_default();
    described(name, about, document)
}

pub(super) fn described(name: &str, about: &str, mut document: OpenApi) -> OpenApi {
    let mut info = Info::new(name, env!("CARGO_PKG_VERSION"));
    info.description = Some(about.to_owned());
    document.info = info;
    let components = document.components.get_or_insert_with(Components::new);
    let mut schemas = vec![(Cow::into_owned(Problem::name()), Problem::schema())];
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let responses = &mut operation.responses.responses;
        responses.entry("default".to_owned()).or_insert_with(|| RefOr::T(problem()));
    }
    document
}

fn problem() -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new()
        .description("The request was not carried out.")
        .content("application/problem+json", content)
        .build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
        &mut item.head,
        &mut item.options,
    ];
    all.into_iter().flatten()
}
