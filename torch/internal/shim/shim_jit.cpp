#include <torch/script.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <fstream>
#include <map>
#include <sstream>
#include "shim_jit.h"
#include "shim_guard.h"

namespace jit = torch::jit;
using torch::Tensor;

// ---- recording

char *wt_trace_begin(wt_tensor input, wt_tensor *tensors, int n) {
  WT_TRY({
    TORCH_CHECK(!jit::tracer::isTracing(), "this thread records already");
    auto state = std::make_shared<jit::tracer::TracingState>();
    auto add = [&](const Tensor &t, const char *name) {
      auto *v = state->graph->addInput(name);
      v->setType(c10::TensorType::get());
      state->setValue(t, v);
    };
    add(*input, "images");
    for (int i = 0; i < n; i++) add(*tensors[i], "");
    jit::tracer::setTracingState(state);
  })
}

char *wt_trace_end(wt_graph *out, wt_tensor output) {
  WT_TRY({
    auto state = jit::tracer::getTracingState();
    TORCH_CHECK(state, "this thread does not record");
    state->graph->registerOutput(state->getOutput(*output, 0)); // asks for the thread's state
    jit::tracer::setTracingState(nullptr);
    jit::EliminateDeadCode(state->graph);
    *out = new std::shared_ptr<jit::Graph>(state->graph);
  })
}

void wt_trace_drop(void) { jit::tracer::setTracingState(nullptr); }
void wt_graph_free(wt_graph g) { delete g; }

// ---- the number of pictures

// one and two are equal but for integers that doubled, which are put into grown.
static bool alike(jit::Graph &one, jit::Graph &two, std::vector<jit::Node *> &grown) {
  auto a = one.nodes().begin(), b = two.nodes().begin();
  for (; a != one.nodes().end() && b != two.nodes().end(); ++a, ++b) {
    if (a->kind() != b->kind() || a->inputs().size() != b->inputs().size() || a->outputs().size() != b->outputs().size()) return false;
    if (a->kind() != c10::prim::Constant) continue;
    auto x = jit::toIValue(a->output()), y = jit::toIValue(b->output());
    if (x->isInt() && y->isInt() && x->toInt() != y->toInt()) {
      if (y->toInt() != 2 * x->toInt()) return false;
      grown.push_back(*a);
    }
    if (x->isTensor() && y->isTensor() && x->toTensor().sizes() != y->toTensor().sizes()) return false;
  }
  return a == one.nodes().end() && b == two.nodes().end();
}

// free_batch replaces the numbers that grow with the input's length.
static void free_batch(jit::Graph &g, const std::vector<jit::Node *> &grown) {
  if (grown.empty()) return;
  jit::WithInsertPoint start(*g.nodes().begin());
  auto *length = g.insert(c10::aten::size, {g.inputs()[0], 0});
  std::map<int64_t, jit::Value *> multiples{{1, length}};
  for (auto *n : grown) {
    int64_t k = jit::toIValue(n->output())->toInt();
    auto &v = multiples[k];
    if (!v) v = g.insert(c10::aten::mul, {length, k});
    n->output()->replaceAllUsesWith(v);
  }
}

// ---- the module

namespace {
// Tree makes modules by dotted names.
class Tree {
 public:
  Tree() : cu_(std::make_shared<jit::CompilationUnit>()), root_(module()) {}

  jit::Module &root() { return root_; }

  void add(const std::string &name, const Tensor &t, bool buffer) {
    jit::Module m = root_;
    std::string at, part;
    for (std::istringstream in(name); std::getline(in, part, '.') && in.good();) {
      at += part + ".";
      auto found = made_.find(at);
      if (found == made_.end()) {
        found = made_.emplace(at, module()).first;
        m.register_module(part, found->second);
      }
      m = found->second;
    }
    m.register_parameter(part, t.detach(), buffer);
  }

  // get inserts the way from self to the named tensor.
  jit::Value *get(jit::Graph &g, jit::Value *self, const std::string &name) {
    std::string at, part;
    auto *v = self;
    for (std::istringstream in(name); std::getline(in, part, '.');) {
      at += part + ".";
      auto &known = values_[at];
      if (!known) known = g.insertGetAttr(v, part);
      v = known;
    }
    return v;
  }

 private:
  jit::Module module() {
    jit::Module m(c10::QualifiedName("__torch__.wildtrain.Module"), cu_, true);
    m.register_attribute("training", c10::BoolType::get(), false);
    return m;
  }

  std::shared_ptr<jit::CompilationUnit> cu_;
  jit::Module root_;
  std::map<std::string, jit::Module> made_;
  std::map<std::string, jit::Value *> values_;
};
} // namespace

// A constant stays where it was made when a module moves to another device; a
// buffer goes along. Scalars are the exception: they mix with any device.
static std::vector<jit::Node *> constants(jit::Graph &g) {
  std::vector<jit::Node *> out;
  for (auto *n : g.nodes()) {
    if (n->kind() != c10::prim::Constant) continue;
    auto v = jit::toIValue(n->output());
    if (v->isTensor() && v->toTensor().dim() > 0) out.push_back(n);
  }
  return out;
}

char *wt_script_save(const char *path, wt_graph one, wt_graph two, wt_tensor *tensors, char **names, const unsigned char *buffer, int n, int *dynamic) {
  WT_TRY({
    auto graph = (*one)->copy();
    std::vector<jit::Node *> grown;
    *dynamic = alike(*graph, **two, grown);
    if (*dynamic) free_batch(*graph, grown);
    Tree tree;
    auto uses = [&](int i) { return graph->inputs()[i + 1]->hasUses(); };
    for (int i = 0; i < n; i++)
      if (uses(i)) tree.add(names[i], *tensors[i], buffer[i] != 0);
    auto held = constants(*graph);
    auto name = [](size_t i) { return "constant" + std::to_string(i); };
    for (size_t i = 0; i < held.size(); i++) tree.add(name(i), jit::toIValue(held[i]->output())->toTensor(), true);

    jit::WithInsertPoint start(*graph->nodes().begin());
    auto *self = graph->insertInput(0, "self")->setType(tree.root().type());
    for (int i = n - 1; i >= 0; i--) {
      auto *input = graph->inputs()[i + 2];
      if (input->hasUses()) input->replaceAllUsesWith(tree.get(*graph, self, names[i]));
      graph->eraseInput(i + 2);
    }
    for (size_t i = 0; i < held.size(); i++) held[i]->output()->replaceAllUsesWith(tree.get(*graph, self, name(i)));
    jit::EliminateDeadCode(graph);
    auto &root = tree.root();
    auto *forward = root._ivalue()->compilation_unit()->create_function(c10::QualifiedName(*root.type()->name(), "forward"), graph);
    root.type()->addMethod(forward);
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.exceptions(std::ios::failbit | std::ios::badbit);
    root.save(file);
    file.close();
  })
}

// ---- running

char *wt_module_load(wt_module *out, const char *path, int device) {
  WT_TRY({
    auto m = jit::load(path, device < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, device));
    m.eval();
    *out = new jit::Module(m);
  })
}

char *wt_module_forward(wt_tensor *out, wt_module m, wt_tensor input) { WT_TRY(*out = new Tensor(m->forward({*input}).toTensor())) }
void wt_module_free(wt_module m) { delete m; }
