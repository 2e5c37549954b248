# Two commands matter: `make run` and `make test`.
# Every Go command here uses the same flags, so that they share what they compiled.
export CGO_ENABLED ?= 0
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: run demo-sso build lint test test-all check generate fuzz bench faults clean

run: build
	./bin/gatehouse demo --settings bin/demo.yaml

# The demo beside two identity providers, connected, and an application that signs people in through them.
demo-sso:
	$(GO) test -c -vet=off -o bin/e2e.test ./e2e
	cd e2e && ../bin/e2e.test -test.run '^TestDemoSSO$$' -test.timeout 0 -stay

build:
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/gatehouse ./cmd/gatehouse

test: build
	scripts/need gcc gcc libc6-dev
	scripts/with-servers $(GO) run ./test/run

# What takes too long for every change: the whole program under the race detector, and the laboratory in its long form.
test-all: build
	scripts/need gcc gcc libc6-dev
	scripts/with-servers $(GO) run ./test/run -all

lint:
	cd tools/lint && $(GO) build -o ../../bin/lint .

check: build lint
	scripts/check

generate:
	scripts/generate

bench: build
	GATEHOUSE_TEST_FSYNC=on scripts/with-servers sh -c '$(GO) run ./bench && $(GO) run ./bench -nodes -rounds 3 && $(GO) run ./bench -growth -rounds 3 -duration 1s'

faults:
	scripts/with-servers $(GO) test -tags faults -count=1 -timeout 90m -v ./test/faults

fuzz:
	scripts/fuzz

clean:
	rm -rf bin dist
