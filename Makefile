# SPDX-License-Identifier: Apache-2.0
# The front door. On a fresh Debian 12 with git and make, `make run` and `make test` install what they need, build and
# work. The build itself is in meson.build. Paths here are relative, so that the clone may lie anywhere.

PREFIX ?= /usr/local
KILLS ?= 200
FAULT_KILLS ?= 100
HOST_KILLS ?= 500
FUZZ_SECONDS ?= 60
# Optimized across files, for the data path goes through five rooms; clang's way needs a linker that is not always there.
LTO := cc --version | grep -q 'Free Software' && echo true || echo false

.PHONY: help run build test test-unit test-e2e test-e2e-broker test-rocketmq test-java test-faults test-crash test-hosts \
	test-asan test-tsan java-host broker broker-stop bench bench-hosts bench-jars bench-rocketmq \
	fuzz lint tidy format install clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

run: build ## move a file through a topic; IN=file OUT=file PORT=8081 NAMESRV=host:port (a RocketMQ) EXIT=1 (end when all has arrived)
	@set --; \
	[ -z "$$IN" ] || set -- "$$@" --in "$$IN"; \
	[ -z "$$OUT" ] || set -- "$$@" --out "$$OUT"; \
	[ -z "$$NAMESRV" ] || set -- "$$@" --namesrv "$$NAMESRV"; \
	[ -z "$$PORT" ] || set -- "$$@" "httpPort=$$PORT"; \
	[ "$${EXIT:-0}" = 0 ] || set -- "$$@" --exit; \
	exec build/gantry run "$$@"

build: ## build build/gantry
	@scripts/install-deps build
	@[ -f build/build.ninja ] || meson setup build -Db_lto=$$($(LTO))
	@ninja -C build

test: ## everything: checks, unit tests (plain, ASan+UBSan, TSan), end to end, RocketMQ, short crash test
	@scripts/install-deps build test broker java jdks databases
	@scripts/test

test-unit: ## unit tests, plain build
	@scripts/install-deps build test
	@scripts/test unit

test-e2e: ## end-to-end tests against build/gantry
	@scripts/install-deps build test
	@scripts/test e2e

test-e2e-broker: ## the same with topics in a real RocketMQ
	@scripts/install-deps build test broker
	@scripts/test e2e-broker

test-rocketmq: ## tests with a real RocketMQ name server and broker
	@scripts/install-deps build test broker
	@scripts/test rocketmq

test-java: ## the Java host with jars of all kinds, and with real databases
	@scripts/install-deps build java test broker jdks databases
	@scripts/test java

test-faults: ## every fault of a real broker, network and worker in full length (half an hour); FAULT_KILLS=100
	@scripts/install-deps build test broker
	@FAULT_KILLS='$(FAULT_KILLS)' scripts/test faults

test-crash: ## crash tests in full; KILLS=200
	@scripts/install-deps build test
	@KILLS='$(KILLS)' scripts/test crash

test-hosts: ## hosts that misbehave, and kill -9 of hosts under load in full; HOST_KILLS=500
	@scripts/install-deps build test
	@HOST_KILLS='$(HOST_KILLS)' scripts/test e2e -- -k 'test_hosts or test_host_kill'

test-asan: ## unit and end-to-end tests under ASan and UBSan
	@scripts/install-deps build test
	@scripts/test asan

test-tsan: ## unit and end-to-end tests under TSan
	@scripts/install-deps build test
	@scripts/test tsan

java-host: ## build build-java-host/gantry-java-host.jar, which runs jars; needs Maven and a JDK, and nothing else here does
	@scripts/install-deps java
	@mvn -B -q -Dstyle.color=never -f hosts/java/pom.xml package

broker: ## a real RocketMQ on 127.0.0.1:9876 for development; PORT=9876 VERSION=5.3.3
	@scripts/install-deps broker
	@set --; \
	[ -z "$$PORT" ] || set -- "$$@" --port "$$PORT"; \
	[ -z "$$VERSION" ] || set -- "$$@" --version "$$VERSION"; \
	exec scripts/rocketmq start "$$@"

broker-stop: ## end what make broker has started
	@exec scripts/rocketmq stop

bench: build ## speed against two durable copies, memory, idle cost; N=5000000 PAIRS=5 SOURCES=10000
	@exec bench/run

bench-hosts: build ## connectors in the worker and in a host: speed, CPU a record; N=2000000 ROUNDS=3
	@exec bench/hosts/bench.py

bench-jars: build java-host ## Kafka's file connectors in the Java host and in Kafka Connect, each on this machine; N=500000 ROUNDS=3
	@mvn -B -q -Dstyle.color=never -f tests/java/plugins/pom.xml package
	@mvn -B -q -Dstyle.color=never -f bench/java/pom.xml package
	@exec bench/java/bench.py

bench-rocketmq: ## the client library beside the Java client, and Gantry on a real broker; SECONDS_A_CELL=3 ROUNDS=3
	@scripts/install-deps build test broker
	@[ -f build-bench/build.ninja ] || meson setup build-bench -Dtests=true -Db_lto=$$($(LTO))
	@ninja -C build-bench
	@scripts/rocketmq fetch 5.3.3
	@exec bench/rocketmq/bench.py

fuzz: ## each fuzz target for FUZZ_SECONDS=60
	@scripts/install-deps build fuzz
	@scripts/fuzz '$(FUZZ_SECONDS)'

lint: ## layers, format, shellcheck, Python, tree rules
	@scripts/install-deps build lint
	@scripts/lint

tidy: ## clang-tidy over src/ and connectors/ (slow)
	@scripts/install-deps build lint
	@scripts/tidy

format: ## clang-format all C files in place
	@scripts/install-deps lint
	@scripts/format

install: build ## install binary, headers, gantry.pc, the Java host if it has been built; PREFIX=/usr/local DESTDIR=
	@meson configure build --prefix '$(PREFIX)'
	@meson install -C build
	@[ ! -f build-java-host/gantry-java-host.jar ] || { to='$(DESTDIR)$(PREFIX)/share/gantry' && mkdir -p "$$to" && \
	cp -R --remove-destination build-java-host/gantry-java-host.jar build-java-host/lib "$$to" && echo "Installing the Java host to $$to"; }

clean: ## remove all build folders
	@rm -rf build build-*
