// An identity provider of samlp, that signs in whoever comes. What it does is told to /how, which gives it a name, so that
// one process serves every test: /<name>/sso and /<name>/metadata.
import express from 'express';
import fs from 'node:fs';
import samlp from 'samlp';

const key = fs.readFileSync(process.env.KEY);
const cert = fs.readFileSync(process.env.CERT);
const app = express();

const ways = [];
app.post('/how', express.json(), (req, res) => res.send(String(ways.push(req.body) - 1)));

const base = (req) => `http://${req.headers.host}`;
const issuerOf = (req) => `${base(req)}/idp`;

app.get('/:how/metadata', (req, res) => {
  req.originalUrl = `/${req.params.how}/sso`;
  samlp.metadata({ issuer: issuerOf(req), cert, redirectEndpointPath: `/${req.params.how}/sso`,
    postEndpointPath: `/${req.params.how}/sso`, profileMapper: samlp.PassportProfileMapper })(req, res);
});

app.use(express.urlencoded({ extended: false }));
app.all('/:how/sso', (req, res, next) => {
  const how = ways[req.params.how];
  const request = req.query.SAMLRequest ? req : { ...req, body: req.body };
  samlp.parseRequest(request, (error, asked) => {
    if (error) return next(error);
    const user = how.user;
    const mapper = () => ({
      getClaims: () => user.attributes ?? {},
      getNameIdentifier: () => ({ nameIdentifier: user.id, nameIdentifierFormat: user.format }),
    });
    mapper.prototype = {};
    samlp.auth({
      issuer: how.issuer ?? issuerOf(req), cert, key, audience: asked.issuer, destination: asked.assertionConsumerServiceURL,
      recipient: asked.assertionConsumerServiceURL, inResponseTo: asked.id, lifetimeInSeconds: 300,
      signResponse: how.sign !== 'assertion', signAssertion: how.sign !== 'response',
      signatureAlgorithm: how.algorithm ?? 'rsa-sha256', digestAlgorithm: how.algorithm === 'rsa-sha1' ? 'sha1' : 'sha256',
      encryptionCert: how.cert, encryptionPublicKey: how.cert,
      encryptionAlgorithm: how.encrypt && `http://www.w3.org/${how.encrypt.endsWith('gcm') ? '2009/xmlenc11' : '2001/04/xmlenc'}#${how.encrypt}`,
      disallowEncryptionWithInsecureAlgorithm: false, warnOnInsecureEncryptionAlgorithm: false,
      sessionIndex: '_session-of-' + user.id, authnContextClassRef: how.context,
      RelayState: req.query.RelayState ?? req.body?.RelayState,
      profileMapper: mapper, getUserFromRequest: () => user,
      getPostURL: (audience, dom, r, done) => done(null, asked.assertionConsumerServiceURL),
    })(req, res, next);
  });
});
app.use((error, req, res, next) => { console.error(error); res.status(500).send(String(error)); });

const server = app.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
