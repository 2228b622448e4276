"""What the doors of orders refuse.

NotFound (404)   OrderNotFound, PrivacyRequestNotFound
Conflict (409)   PrivacyRequestAnswered
Forbidden (403)  PersonNotShown
"""

from vitrin.kit.errors import Conflict, Forbidden, NotFound


class OrderNotFound(NotFound):
    code, title = "order_not_found", "There is no such order"
    fix = "List the orders with GET /v1/orders; `id` there is what this path takes."


class PrivacyRequestNotFound(NotFound):
    code, title = "privacy_request_not_found", "There is no such request"
    fix = "List them with GET /v1/privacy_requests."


class PrivacyRequestAnswered(Conflict):
    code, title = "privacy_request_answered", "The request was answered before"
    fix = "Look at it with GET /v1/privacy_requests/{request}."


class PersonNotShown(Forbidden):
    code, title = "person_not_shown", "This key may not see who bought"
    fix = "Use an owner's key (scope accounts:write), or ask without person=true."
