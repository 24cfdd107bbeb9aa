"""By table and key, what a value must be beyond its type.

A rule for a key that holds a secret (``repr=False``) never shows the value in what it raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tracseq_gateway.config import (
    api_keys,
    certificates,
    client_names,
    compression,
    files,
    log_line,
    texts,
    tokens,
    tracing,
)
from tracseq_gateway.config.compression import Compression
from tracseq_gateway.config.dashboard import Dashboard
from tracseq_gateway.config.logs import AccessLog, Log
from tracseq_gateway.config.model import Gateway, Service
from tracseq_gateway.config.origins import origin_pattern
from tracseq_gateway.config.policies import (
    ApiKey,
    Authentication,
    ClientCertificate,
    Cors,
    FailedLogins,
    Jwt,
    JwtKey,
    Limit,
    Metrics,
    PathRule,
    RateLimiting,
    Redis,
    Security,
)
from tracseq_gateway.config.redis_url import redis_url
from tracseq_gateway.config.service_tls import ServiceTls
from tracseq_gateway.config.texts import each, each_name
from tracseq_gateway.config.tls import Certificate, Tls
from tracseq_gateway.config.tracing import Tracing
from tracseq_gateway.config.uploads import ServiceUploads, Uploads
from tracseq_gateway.config.upstream import Discovery, Health, Instance, Retries, Tunnels

RULES: Mapping[tuple[type, str], Callable[[Any], Any]] = {
    (Gateway, "host"): texts.listen_address,
    (Gateway, "run_directory"): files.directory_name,
    (Gateway, "via"): texts.token,
    (Certificate, "file"): certificates.certificate_chain,
    (Certificate, "key_file"): certificates.private_key,
    (ServiceTls, "ca"): certificates.authorities,
    (ServiceTls, "name"): texts.optional_host,
    (ServiceTls, "certificate"): certificates.optional_chain,
    (ServiceTls, "certificate_key"): certificates.optional_key,
    (Tls, "client_ca"): certificates.authorities,
    (Tls, "client_crl"): certificates.revocation_lists,
    (Health, "path"): texts.request_target,
    (Instance, "url"): texts.instance_url,
    (Discovery, "dns"): texts.dns_name,
    (Discovery, "srv"): texts.dns_name,
    (Discovery, "file"): files.instance_list,
    (Discovery, "url"): texts.endpoint_url,
    (Service, "prefix"): texts.path,
    (Service, "rewrite"): texts.rewrite,
    (Service, "hash_by"): texts.hash_key,
    (Service, "sticky_cookie"): texts.optional_token,
    (Service, "deadline_header"): texts.optional_token,
    (Retries, "statuses"): each(texts.retry_status),
    (Service, "public"): each(texts.public_path),
    (Service, "roles"): each_name(texts.method_or_any),
    (Service, "paths"): each_name(texts.path_pattern),
    (Service, "content_types"): each(texts.media_type),
    (Service, "openapi"): texts.optional_request_target,
    (PathRule, "roles"): each_name(texts.method_or_any),
    (PathRule, "content_types"): each(texts.media_type),
    (Redis, "url"): redis_url,
    (Redis, "key_prefix"): texts.key_prefix,
    (Redis, "ca"): files.certificates,
    (JwtKey, "file"): files.public_key,
    (JwtKey, "algorithm"): tokens.signing_algorithm,
    (JwtKey, "kid"): tokens.key_id,
    (Jwt, "algorithms"): tokens.algorithms,
    (Jwt, "secret_env"): texts.variable,
    (Jwt, "jwks_url"): tokens.jwks_url,
    (ApiKey, "hash"): api_keys.stored_hash,
    (ApiKey, "owner"): api_keys.identity_text,
    (ApiKey, "email"): api_keys.identity_text,
    (ApiKey, "methods"): each(texts.method),
    (ApiKey, "expires"): texts.moment,
    (ClientCertificate, "match"): client_names.certificate_name,
    (ClientCertificate, "subject"): api_keys.identity_text,
    (ClientCertificate, "email"): api_keys.identity_text,
    (ClientCertificate, "methods"): each(texts.method),
    (Authentication, "client_certificates"): each_name(api_keys.key_name),
    (Authentication, "service_key"): texts.secret_header_text,
    (Authentication, "validate_path"): texts.request_target,
    (Authentication, "logout"): each(texts.path),
    (Authentication, "sessions"): each(texts.path),
    (Authentication, "api_key_header"): texts.credential_header,
    (Authentication, "api_keys"): each_name(api_keys.key_name),
    (Authentication, "identity_key_env"): texts.variable,
    (Authentication, "realm"): texts.realm,
    (Limit, "methods"): each(texts.method),
    (Limit, "paths"): each(texts.path_pattern),
    (FailedLogins, "paths"): each(texts.path),
    (FailedLogins, "account"): texts.filled,
    (RateLimiting, "limits"): each_name(texts.short_name),
    (Cors, "allow_origins"): each(origin_pattern),
    (Tunnels, "origins"): each(origin_pattern),
    (Cors, "allow_methods"): each(texts.method),
    (Cors, "allow_headers"): each(texts.token),
    (Cors, "expose_headers"): each(texts.token),
    (Compression, "encodings"): compression.encodings,
    (Compression, "types"): each(compression.media_type),
    (Security, "hsts"): texts.header_text,
    (Security, "referrer"): texts.header_text,
    (Security, "permissions"): texts.header_text,
    (Security, "content_policy"): texts.header_text,
    (AccessLog, "target"): files.log_target,
    (AccessLog, "template"): log_line.template,
    (AccessLog, "omit"): each(log_line.field),
    (AccessLog, "redact"): each(texts.filled),
    (AccessLog, "headers"): each(log_line.logged_header),
    (AccessLog, "journal"): files.socket_name,
    (Log, "levels"): each_name(texts.namespace),
    (Metrics, "path"): texts.path,
    (Tracing, "endpoint"): tracing.collector_url,
    (Tracing, "service_name"): tracing.shown_text,
    (Tracing, "resource"): tracing.resource_attributes,
    (Tracing, "headers_env"): texts.variable,
    (Dashboard, "login"): texts.path,
    (Uploads, "directory"): files.private_directory,
    (ServiceUploads, "paths"): each(texts.path),
    (ServiceUploads, "form"): texts.optional_token,
}
