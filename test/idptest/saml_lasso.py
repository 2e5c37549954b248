"""A SAML identity provider of Lasso, that signs in whoever comes. SIGN is response or assertion; ENCRYPT is aes128 or
aes256, or empty; the metadata of the service provider is read from SP_METADATA at each request."""
import base64
import datetime
import html
import http.server
import os
import sys
import urllib.parse

import lasso

KEY, CERT, NAME, MAIL = (os.environ[n] for n in ("KEY", "CERT", "NAME", "MAIL"))


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, body, kind="text/html"):
        raw = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_POST(self):
        # what the provider shall do from now on
        how = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.how = {k: v[0] for k, v in how.items()}
        self.answer("done")

    def do_GET(self):
        path, _, query = self.path.partition("?")
        metadata = self.server.metadata
        if path == "/metadata":
            return self.answer(metadata, "application/samlmetadata+xml")
        how = self.server.how
        provider = lasso.Server.newFromBuffers(metadata, open(KEY).read(), None, open(CERT).read())
        provider.signatureMethod = lasso.SIGNATURE_METHOD_RSA_SHA256
        provider.addProviderFromBuffer(lasso.PROVIDER_ROLE_SP, how["sp"])
        if how.get("encrypt"):
            sp = provider.getProvider(how["entity"])
            sp.setEncryptionMode(lasso.ENCRYPTION_MODE_ASSERTION)
            kinds = {"aes128": lasso.ENCRYPTION_SYM_KEY_TYPE_AES_128, "aes256": lasso.ENCRYPTION_SYM_KEY_TYPE_AES_256}
            sp.setEncryptionSymKeyType(kinds[how["encrypt"]])
        login = lasso.Login(provider)
        login.processAuthnRequestMsg(query)
        if how.get("sign") == "response":
            login.signatureHint = lasso.PROFILE_SIGNATURE_HINT_FORCE
        login.validateRequestMsg(True, True)
        now = datetime.datetime.now(datetime.timezone.utc)
        at = lambda minutes: (now + datetime.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        login.buildAssertion(lasso.SAML2_AUTHN_CONTEXT_PASSWORD, at(0), None, at(-1), at(5))
        assertion = login.assertion
        assertion.subject.nameId.content = NAME
        assertion.subject.nameId.format = lasso.SAML2_NAME_IDENTIFIER_FORMAT_PERSISTENT
        assertion.authnStatement[0].sessionIndex = "session-of-" + NAME
        text = lasso.MiscTextNode.newWithString(MAIL)
        text.textChild = True
        value = lasso.Saml2AttributeValue()
        value.any = [text]
        attribute = lasso.Saml2Attribute()
        attribute.name, attribute.nameFormat = "mail", lasso.SAML2_ATTRIBUTE_NAME_FORMAT_BASIC
        attribute.attributeValue = [value]
        statement = lasso.Saml2AttributeStatement()
        statement.attribute = [attribute]
        assertion.attributeStatement = [statement]
        login.buildAuthnResponseMsg()
        self.answer('<form action="%s"><input name="SAMLResponse" value="%s"><input name="RelayState" value="%s"></form>'
                    % (html.escape(login.msgUrl), html.escape(login.msgBody), html.escape(login.msgRelayState or "")))


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
base = "http://127.0.0.1:%d" % server.server_port
cert = "".join(open(CERT).read().split("\n")[1:-2])
server.how = {}
server.metadata = f"""<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{base}/metadata">
<IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>{cert}</X509Certificate>
</X509Data></KeyInfo></KeyDescriptor>
<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="{base}/sso"/>
</IDPSSODescriptor></EntityDescriptor>"""
print("listening on " + base, flush=True)
server.serve_forever()
