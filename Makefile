.DEFAULT_GOAL := help
.PHONY: help dev demo logs ps down build test test-versions bench lint coverage

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: ## Start MediaMTX with the suite: containers when an engine answers, otherwise local processes
	@scripts/stack up

demo: ## Like dev, and send a test stream through it
	@scripts/demo

logs: ## Show what the services log; on a terminal, go on showing it
	@scripts/stack logs

ps: ## List the services and the streams, and how they fare
	@scripts/stack ps

down: ## Stop everything that dev and demo started
	@scripts/stack down

build: ## Build the static binaries, into target/<platform>/release
	@scripts/build

test: ## Run all tests, on real servers
	@scripts/test

test-versions: ## Run the suite's tests on every MediaMTX that can be had, building those that are missing
	@scripts/test-versions

bench: ## Measure the suite side by side with what people use today
	@scripts/bench

lint: ## Check formatting, lints, licences and scripts
	@scripts/lint

coverage: ## Run all tests and fail under 90 % of lines covered
	@scripts/test --coverage
