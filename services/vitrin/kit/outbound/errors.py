"""How a call to an address that a brand chose can fail. All have a code, a fix, and say whether to try again.

VitrinError <- OutboundFailure
                 UrlRefused         400  the address itself: scheme, credentials, port, form      again: no
                 AddressNotPublic   400  it is, or its name leads to, an address of a private net  again: no
                 NameUnresolved     502  its name leads nowhere                                    again: yes
                 Unreachable        502  no connection                                             again: yes
                 TlsRefused         502  its certificate does not hold                             again: yes
                 Crowded            503  all of our own connections are in use                     again: yes
                 TimedOut           504  no connection, no byte or no end within the time          again: yes
                 AnswerBroken       502  what came back is not HTTP                                again: yes
                 AnswerTruncated    502  the connection ended before the body did                  again: yes
                 AnswerTooLarge     502  the body, decoded, is over the limit                      again: no
                 RedirectRefused    502  a redirect too many, or to where nobody may be sent       again: no

A message never holds a resolved address (it would map our network for whoever asks) nor a query (it may be a secret).
"""

from typing import ClassVar

from vitrin.kit.errors import VitrinError


class OutboundFailure(VitrinError):
    code, status, title = "url_failed", 502, "The address could not be used"
    again: ClassVar[bool] = True
    """Whether the same call may succeed later with nothing changed."""


class UrlRefused(OutboundFailure):
    code, status, title = "url_refused", 400, "This address cannot be used"
    again = False


class AddressNotPublic(OutboundFailure):
    code, status, title = "url_address_not_public", 400, "The address does not lead to the public internet"
    fix = (
        "Use an address that anyone on the internet can reach. Whoever operates this server may allow a host or a "
        "network by VITRIN_OUTBOUND_ALLOW."
    )
    again = False


class NameUnresolved(OutboundFailure):
    code, status, title = "url_name_unresolved", 502, "The host name of the address is not known"
    fix = "Check the spelling of the host name, and that it has an address record."


class Unreachable(OutboundFailure):
    code, status, title = "url_unreachable", 502, "No connection to the address"
    fix = "Check that its server is up and lets this server in."


class TlsRefused(OutboundFailure):
    code, status, title = "url_tls_failed", 502, "The address has no certificate that holds for its name"
    fix = "Renew its certificate, or send the whole chain; look at it with 'openssl s_client -connect host:443'."


class Crowded(OutboundFailure):
    code, status, title = "url_crowded", 503, "All connections to the outside are in use"
    fix = "Try again in a few seconds."


class TimedOut(OutboundFailure):
    code, status, title = "url_timed_out", 504, "The address did not answer in time"
    fix = "Check that its server answers within the time limit."


class AnswerBroken(OutboundFailure):
    code, status, title = "url_answer_invalid", 502, "What the address answered is not HTTP"
    fix = "Check that the address belongs to a web server."


class AnswerTruncated(OutboundFailure):
    code, status, title = "url_answer_truncated", 502, "The answer of the address ended too early"
    fix = "Try again; if it stays so, look at the logs of its server."


class AnswerTooLarge(OutboundFailure):
    code, status, title = "url_answer_too_large", 502, "The answer of the address is too large"
    fix = "Let the address answer with less."
    again = False


class RedirectRefused(OutboundFailure):
    code, status, title = "url_redirect_refused", 502, "The address redirects to where it may not"
    fix = "Give the final address."
    again = False
