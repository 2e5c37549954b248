// Package deploy checks the files in deploy/ as far as it can be done without a container engine or a cluster: the
// Dockerfile is parsed, the compose file is loaded against its schema, the Helm chart is rendered and each object
// decoded strictly.
package deploy
