# Two commands matter: `make run` and `make test`.
export CGO_ENABLED ?= 0
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
RACE_PACKAGES := ./internal/core/... ./internal/authn/... ./internal/platform/... ./internal/edge/...

.PHONY: run build test race check generate fuzz bench faults clean

run: build
	./bin/gatehouse demo

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/gatehouse ./cmd/gatehouse

test: build
	scripts/need gcc gcc libc6-dev
	scripts/with-servers sh -c '$(GO) test -timeout 20m ./... && $(GO) test -tags faults -short -count=1 -timeout 20m ./test/faults && CGO_ENABLED=1 $(GO) test -race -short -timeout 20m $(RACE_PACKAGES)'

check:
	scripts/check

generate:
	scripts/generate

bench: build
	GATEHOUSE_TEST_FSYNC=on scripts/with-servers sh -c '$(GO) run ./bench && $(GO) run ./bench -nodes -rounds 3 && $(GO) run ./bench -growth -rounds 3'

faults:
	scripts/with-servers $(GO) test -tags faults -count=1 -timeout 90m -v ./test/faults

fuzz:
	scripts/fuzz

clean:
	rm -rf bin dist
