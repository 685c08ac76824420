//! A path with its methods.
//!
//! Promises that any other method is answered 405 with an `Allow` that lists exactly these, and that HEAD is answered
//! wherever GET is (RFC 9110 §9.1) unless a GET does more than to read.

use std::future::{Future, ready};

use actix_web::{
    FromRequest, Handler, HttpResponse, Resource, Responder, ResponseError as _, Route,
    dev::{Service as _, ServiceResponse},
    http::{Method, header},
    web::{self, ServiceConfig},
};

use super::problem::{Problem, Slug};

/// A path with its methods, to be [registered](Endpoint::register).
pub struct Endpoint {
    path: &'static str,
    resource: Resource,
    allowed: Vec<Method>,
    retell: Option<fn(ServiceResponse) -> ServiceResponse>,
}

macro_rules! methods {
    ($($name:ident = $method:ident),+) => {
        $(
            #[doc = concat!("Adds a handler of ", stringify!($method), ".")]
            #[must_use]
            pub fn $name<F, Args>(self, handler: F) -> Self
            where
                F: Handler<Args>,
                Args: FromRequest + 'static,
                F::Output: Responder + 'static,
            {
                self.on(Method::$method, web::route().to(handler))
            }
        )+
    };
}

impl Endpoint {
    /// A path with no method yet.
    pub fn new(path: &'static str) -> Self {
        Self { path, resource: web::resource(path), allowed: Vec::new(), retell: None }
    }

    /// Has every answer of its handlers, and of what they extract, go through this.
    #[must_use]
    pub fn retold(self, retell: fn(ServiceResponse) -> ServiceResponse) -> Self {
        Self { retell: Some(retell), ..self }
    }

    /// The path's template.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// The methods, in the order of `Allow`.
    pub fn methods(&self) -> &[Method] {
        &self.allowed
    }

    /// Adds a handler of GET, which also answers HEAD: the server leaves the body out.
    #[must_use]
    pub fn get<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::GET, web::route().to(handler.clone())).on(Method::HEAD, web::route().to(handler))
    }

    methods!(get_without_head = GET, post = POST, put = PUT, delete = DELETE);

    fn on(mut self, method: Method, route: Route) -> Self {
        self.resource = self.resource.route(route.method(method.clone()));
        self.allowed.push(method);
        self
    }

    /// Puts it in place.
    pub fn register(self, cfg: &mut ServiceConfig) {
        let allow = self.allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let resource = self.resource.default_service(web::to(move || refuse(&allow)));
        match self.retell {
            Some(retell) => cfg.service(resource.wrap_fn(move |request, service| {
                let answer = service.call(request);
                async move { answer.await.map(retell) }
            })),
            None => cfg.service(resource),
        };
    }
}

fn refuse(allow: &str) -> impl Future<Output = HttpResponse> + use<> {
    let problem = Problem::new(Slug::MethodNotAllowed, format!("Use one of: {allow}."));
    // Built in here, inside the request's task-local scope.
    let mut response = problem.error_response();
    if let Ok(allow) = header::HeaderValue::from_str(allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    ready(response)
}
