//! Interface as varlink sees it: methods in, answers or named errors out.

use super::failure::{Failure, Misunderstood};
use super::methods::{Answer, Request};
use super::parameters::{may_interact, understand};
use super::peer::Requester;
use super::permission::{Permission, PermissionRequest};
use control::{DESCRIPTION, INTERFACE};
use std::io::BufRead;
use std::sync::Arc;
use varlink::{Call, CallTrait, Reply};

/// Interface for one connection.
pub struct Interface {
    pub answer: Arc<dyn Answer>,
    pub requester: Requester,
    pub permission: Arc<Permission>,
}

impl varlink::Interface for Interface {
    fn get_description(&self) -> &'static str {
        DESCRIPTION
    }

    fn get_name(&self) -> &'static str {
        INTERFACE
    }

    fn call_upgraded(&self, _: &mut Call<'_>, _: &mut dyn BufRead) -> varlink::Result<Vec<u8>> {
        // No method upgrades a connection.
        Ok(Vec::new())
    }

    fn call(&self, call: &mut Call<'_>) -> varlink::Result<()> {
        let Some(request) = call.get_request() else {
            return Ok(());
        };
        let method = request
            .method
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .to_owned();
        match understand(&method, request.parameters.as_ref()) {
            Ok(asked) => match self.reply(asked, may_interact(request.parameters.as_ref())) {
                Some(reply) => call.reply_struct(reply),
                // It waits for permission.
                None => Ok(()),
            },
            Err(Misunderstood::Method) => call.reply_method_not_found(method),
            Err(Misunderstood::Parameter(name)) => call.reply_invalid_parameter(name),
            Err(Misunderstood::Range(failure)) => call.reply_struct(failure.reply()),
        }
    }
}

impl Interface {
    /// Returns the reply to a request, or `None` if polkit's permission for it has to be found out first.
    fn reply(&self, request: Request, interactive: bool) -> Option<Reply> {
        let mut requester = self.requester;
        if let Some(as_root) = request.as_root()
            && !requester.may_change
        {
            let wanted = PermissionRequest {
                as_root,
                interactive,
            };
            if let Err(refused) = self.permission.take(wanted)? {
                return Some(refused.reply());
            }
            requester.by_polkit = true;
        }
        let answered = (self.answer)(request, requester);
        Some(answered.map_or_else(Failure::reply, |parameters| {
            Reply::parameters(Some(parameters))
        }))
    }
}
