# make demo   set up, train on generated images, evaluate, leave pictures in work_dirs/quickstart;
#             TASK=segmentation or TASK=classification does the same for that task
# make test   set up and run the test suite on the CPU
# make fuzz   every reader on damaged files; HRDET_FUZZ_EXAMPLES=20000 for longer
# make sanitize   the CPU operators' tests under the compiler's sanitizers; WHOLE=1 adds the CUDA
#             kernels that the CPU emulates, which takes many minutes
# make lint   ruff, import order of the packages, types of the public API, clang-format
# make docs   set up and build the site from docs/ into build/site
# make install alone: .venv with the pinned requirements and the compiled operators

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := $(shell find csrc -type f) setup.py
TASK ?= detection

# The demo of each task: its config, its folder, and the data set.
DEMO_CONFIG_detection := configs/quickstart/faster_rcnn_hrnetv2p_w18_small.py
DEMO_CONFIG_segmentation := configs/quickstart/fcn_hr18s.py
DEMO_CONFIG_classification := configs/quickstart/hrnet-w18-small_classification.py
DEMO_detection := work_dirs/quickstart
DEMO_segmentation := work_dirs/quickstart_segmentation
DEMO_classification := work_dirs/quickstart_classification
SHAPES_detection := --out data/shapes --train 800 --val 200 --size 128 160
SHAPES_segmentation := --out data/shapes_maps --train 800 --val 200 --size 128 160
SHAPES_classification := --out data/shapes_folders --train 800 --val 200
DEMO := $(DEMO_$(TASK))
DEMO_CONFIG := $(DEMO_CONFIG_$(TASK))
ifeq ($(DEMO),)
$(error TASK=$(TASK): there are detection, segmentation and classification)
endif

.PHONY: install demo test fuzz sanitize lint docs clean

install: $(VENV)/.installed

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 10) and sys.exit("error: hrdet needs Python 3.10 or newer; $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.requirements: $(VENV)/.python requirements/runtime.txt
	$(PIP) install -r requirements/runtime.txt
	# A GPU without a compiler for it: torchvision's operators stand in for the CUDA ones.
	if nvidia-smi >/dev/null 2>&1 && ! command -v nvcc >/dev/null && [ -z "$$CUDA_HOME" ]; then \
		$(PIP) install -r requirements/gpu.txt; fi
	touch $@

$(VENV)/.installed: $(VENV)/.requirements $(SOURCES)
	$(PIP) install --no-build-isolation --no-deps -e .
	-$(BIN)/python -m hrdet.doctor
	touch $@

$(VENV)/.test: $(VENV)/.installed requirements/test.txt
	$(PIP) install -r requirements/test.txt
	touch $@

demo: install
	$(BIN)/python tools/make_shapes.py --task $(TASK) $(SHAPES_$(TASK)) --seed 0
	$(BIN)/python tools/train.py $(DEMO_CONFIG) --work_dir $(DEMO)
	$(BIN)/python tools/test.py $(DEMO_CONFIG) $(DEMO)/model_final.pth --show-dir $(DEMO)/predictions

test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --maxprocesses 16 --dist worksteal

fuzz: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --hypothesis-profile=fuzz tests/test_fuzz.py

sanitize: $(VENV)/.test
ifeq ($(WHOLE),)
	PYTHON=$(BIN)/python tests/ops/sanitize.sh operators
else
	HRDET_SANITIZERS=1 $(BIN)/python -m pytest tests/ops/test_sanitizers.py
endif

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/clang-format --dry-run -Werror $$(git ls-files '*.h' '*.cpp' '*.cu' '*.cuh')

$(VENV)/.docs: $(VENV)/.installed requirements/docs.txt
	$(PIP) install -r requirements/docs.txt
	touch $@

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict -f docs/site/mkdocs.yml

clean:
	rm -rf build dist *.egg-info hrdet/*.so
