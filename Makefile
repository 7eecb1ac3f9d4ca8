# What a newcomer needs: `make test` passes the tests, `make bench` measures,
# `make soak` runs the long forms, `make build` makes the binary.

GO ?= go
BIN := bin/gatehouse
LDFLAGS := -s -w
# What measures, or is held to the clock, has run without the race detector,
# which makes all ten times slower. So have the crashes of a store, which open it
# hundreds of times.
TIMED := ^Test(StartWithMany|Million|CheckingASecret|StoreOfSmallPartitions|FollowerThatReadsNothing|PowerLoss|Kill|EachOperationFails|FirstStartFails)
export PATH := $(CURDIR)/test/clients/.node/bin:$(PATH)

.PHONY: build test soak bench fmt vet prerequisites fuzz

build: ## one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/gatehouse

prerequisites: ## what the tests need beside Go, from Debian's packages
	./test/prerequisites

test: prerequisites vet ## everything, the short forms; 20 minutes at most on two cores
	$(GO) test -timeout 15m work
	$(GO) test -race -timeout 15m -skip '$(TIMED)' . ./token ./credential ./dialect/... ./sqlite ./sharedlimit ./httpd ./gate/... ./admin ./connect ./connect/directory ./node ./bearer ./bearer/xoauth2 ./agent ./rehearse
	./test/fuzz 2s

vet:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt these: $$unformatted"; exit 1; fi
	$(GO) vet work

soak: prerequisites vet ## the long forms: exact bounds, many trials, long fuzzing
	./test/prerequisites caddy
	GATEHOUSE_SOAK=1 $(GO) test -timeout 120m work
	./test/fuzz 10m

bench: prerequisites ## the benchmarks of docs/benchmarks.md, beside their yardsticks
	$(GO) run ./test/bench
	$(GO) test -run "^$$" -bench . -benchtime 1s . ./token ./credential ./dialect ./sqlite ./postgres ./sharedlimit ./gate ./httpd

fuzz:
	./test/fuzz 1m

fmt:
	gofmt -w $$(git ls-files '*.go')
