// Runs a Hasten bundle whose engine is OpenVINO, from C++ and without Python.
//
//     run_bundle BUNDLE [NAME=FILE.npy ...] [--seconds S] [--save FOLDER]
//
// Reads the bundle's manifest, compiles model/model.xml with the settings that were measured and
// judged, feeds it arrays as they are stored (or zeros), prints the outputs and the time per call.
// It does not check the bundle's hashes: run `hasten verify BUNDLE` where the bundle arrives.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <openvino/openvino.hpp>

#include "json.hpp"
#include "npy.hpp"

namespace {

constexpr int kSchema = 1;
constexpr int kWarmUpCalls = 3;

struct Request {
    std::string bundle;
    std::map<std::string, std::string> files;
    double seconds = 1.0;
    std::string save;
};

using Sizes = std::map<std::string, std::size_t>;

Request parse(const std::vector<std::string>& words) {
    Request request;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::size_t equals = words[i].rfind('=');
        if (words[i] == "--seconds" && i + 1 < words.size()) request.seconds = std::stod(words[++i]);
        else if (words[i] == "--save" && i + 1 < words.size()) request.save = words[++i];
        else if (equals != std::string::npos) request.files[words[i].substr(0, equals)] = words[i].substr(equals + 1);
        else if (request.bundle.empty()) request.bundle = words[i];
        else throw std::runtime_error("cannot understand '" + words[i] + "'");
    }
    if (request.bundle.empty())
        throw std::runtime_error("usage: run_bundle BUNDLE [NAME=FILE.npy ...] [--seconds S] [--save FOLDER]");
    return request;
}

json::Value read_manifest(const std::string& bundle) {
    std::ifstream stream(bundle + "/manifest.json", std::ios::binary);
    if (!stream) throw std::runtime_error("'" + bundle + "' has no manifest.json; give the folder that hasten wrote");
    json::Value manifest = json::Reader({std::istreambuf_iterator<char>(stream), {}}).document();
    if (manifest["schema"].number != kSchema)
        throw std::runtime_error("the bundle has another schema than " + std::to_string(kSchema));
    const std::string& engine = manifest["plan"]["engine"]["name"].text;
    if (engine != "openvino")
        throw std::runtime_error("the bundle runs on '" + engine + "', this program runs OpenVINO only; "
                                 "make one with: hasten optimize MODEL --engine openvino");
    if (!manifest["source"].is_null()) throw std::runtime_error("the bundle holds code instead of a graph");
    return manifest;
}

// What the size of every free dimension is: as in the arrays given, else as measured.
Sizes bound_sizes(const json::Value& manifest, const std::map<std::string, npy::Array>& arrays) {
    const json::Value& workload = manifest["workload"];
    Sizes sizes = {{"batch", static_cast<std::size_t>(workload["batch"].number)}};
    for (const auto& [name, size] : workload["sizes"].object) sizes[name] = static_cast<std::size_t>(size.number);
    for (const json::Value& input : manifest["model"]["spec"]["inputs"].list) {
        const auto given = arrays.find(input["name"].text);
        if (given == arrays.end()) continue;
        const auto& shape = input["shape"].list;
        if (shape.size() != given->second.shape.size())
            throw std::runtime_error("input '" + given->first + "' has " + std::to_string(given->second.shape.size()) +
                                     " dimensions, it must have " + std::to_string(shape.size()));
        for (std::size_t axis = 0; axis < shape.size(); ++axis)
            if (shape[axis].is_text()) sizes[shape[axis].text] = given->second.shape[axis];
    }
    return sizes;
}

ov::Shape bound_shape(const json::Value& input, const Sizes& sizes) {
    ov::Shape shape;
    for (const json::Value& size : input["shape"].list)
        shape.push_back(size.is_text() ? sizes.at(size.text) : static_cast<std::size_t>(size.number));
    return shape;
}

// The same settings as Hasten's engine gives, so that what was measured is what runs.
ov::AnyMap settings(const json::Value& manifest) {
    const json::Value& options = manifest["plan"]["engine"]["options"];
    const auto number = [&](const char* key, int otherwise) {
        return options.has(key) && !options[key].is_null() ? static_cast<int>(options[key].number) : otherwise;
    };
    const json::Value& granted = manifest["workload"]["threads"];
    const int streams = number("streams", 1);
    const int threads = number("threads", granted.is_null() ? 0 : static_cast<int>(granted.number));
    ov::AnyMap found = {
        {"INFERENCE_PRECISION_HINT", options.has("precision") ? options["precision"].text : "f32"},
        {"PERFORMANCE_HINT", streams == 1 ? "LATENCY" : "THROUGHPUT"},
        {"NUM_STREAMS", streams},
    };
    if (threads > 0) found["INFERENCE_NUM_THREADS"] = threads;
    return found;
}

std::string npy_type(const ov::element::Type& type) {
    const std::string size = std::to_string(type.size());
    if (type == ov::element::boolean) return "|b1";
    if (type.is_real()) return "<f" + size;
    return (type.size() == 1 ? "|" : "<") + std::string(type.is_signed() ? "i" : "u") + size;
}

// Stored uint8 `(batch, ..., channels, ...)` as the model was trained on: (x * scale - mean) / std.
void normalise(const npy::Array& stored, const json::Value& how, ov::Tensor& tensor) {
    const auto axis = static_cast<std::size_t>(how["axis"].number);
    std::size_t inner = 1;
    for (std::size_t i = axis + 1; i < stored.shape.size(); ++i) inner *= stored.shape[i];
    const auto& means = how["mean"].list;
    const auto& stds = how["std"].list;
    auto* out = tensor.data<float>();
    for (std::size_t i = 0; i < stored.bytes.size(); ++i) {
        const std::size_t channel = i / inner % stored.shape[axis];
        const double mean = means[means.size() > 1 ? channel : 0].number;
        const double std = stds[stds.size() > 1 ? channel : 0].number;
        const float a = static_cast<float>(how["scale"].number / std), b = static_cast<float>(-mean / std);
        out[i] = static_cast<float>(static_cast<unsigned char>(stored.bytes[i])) * a + b;
    }
}

npy::Array zeros(const ov::Shape& shape, const std::string& type) {
    return {type, shape, std::vector<char>(npy::count(shape) * npy::item_size(type))};
}

// One input as the graph takes it.
ov::Tensor tensor(const json::Value& manifest, const json::Value& input, const ov::Output<const ov::Node>& port,
                  const std::map<std::string, npy::Array>& arrays) {
    const json::Value& model = manifest["model"];
    const std::string& name = input["name"].text;
    const auto& traits = model["traits"].list;
    const bool inside = std::any_of(traits.begin(), traits.end(), [](const auto& t) { return t.text == "uint8-input"; });
    const bool outside = model["spec"]["normalisation"].has(name) && !inside;
    const std::string wanted = outside ? "|u1" : npy_type(port.get_element_type());
    const auto given = arrays.find(name);
    const npy::Array array = given == arrays.end() ? zeros(port.get_shape(), wanted) : given->second;
    if (array.type != wanted)
        throw std::runtime_error("input '" + name + "' holds " + array.type + ", it must hold " + wanted);
    if (ov::Shape(array.shape) != port.get_shape())
        throw std::runtime_error("input '" + name + "' has the shape " + ov::Shape(array.shape).to_string() +
                                 ", it must have " + port.get_shape().to_string());
    ov::Tensor made(port.get_element_type(), port.get_shape());
    if (outside) normalise(array, model["spec"]["normalisation"][name], made);
    else std::memcpy(made.data(), array.bytes.data(), array.bytes.size());
    return made;
}

void report_time(ov::InferRequest& request, double seconds) {
    using Clock = std::chrono::steady_clock;
    for (int call = 0; call < kWarmUpCalls; ++call) request.infer();
    std::vector<double> taken;
    const auto start = Clock::now();
    while (taken.size() < 3 || std::chrono::duration<double>(Clock::now() - start).count() < seconds) {
        const auto began = Clock::now();
        request.infer();
        taken.push_back(std::chrono::duration<double>(Clock::now() - began).count());
    }
    std::sort(taken.begin(), taken.end());
    std::printf("%.4f ms per call (median of %zu; p95 %.4f ms)\n", taken[taken.size() / 2] * 1e3, taken.size(),
                taken[taken.size() * 95 / 100] * 1e3);
}

void report_output(const std::string& name, const ov::Tensor& found, const std::string& folder) {
    std::printf("%s: %s%s", name.c_str(), found.get_element_type().get_type_name().c_str(),
                found.get_shape().to_string().c_str());
    if (found.get_element_type() == ov::element::f32)
        for (std::size_t i = 0; i < std::min<std::size_t>(found.get_size(), 10); ++i)
            std::printf(" %.6g", static_cast<double>(found.data<const float>()[i]));
    std::printf("\n");
    if (folder.empty()) return;
    npy::Array array = zeros(found.get_shape(), npy_type(found.get_element_type()));
    std::memcpy(array.bytes.data(), found.data(), array.bytes.size());
    npy::save(folder + "/" + name + ".npy", array);
}

void run(const Request& request) {
    const json::Value manifest = read_manifest(request.bundle);
    const json::Value& spec = manifest["model"]["spec"];
    std::map<std::string, npy::Array> arrays;
    for (const auto& [name, path] : request.files) {
        const auto& inputs = spec["inputs"].list;
        if (std::none_of(inputs.begin(), inputs.end(), [&, n = name](const auto& input) { return input["name"].text == n; }))
            throw std::runtime_error("the model has no input '" + name + "'");
        arrays[name] = npy::load(path);
    }
    const Sizes sizes = bound_sizes(manifest, arrays);

    ov::Core core;
    const auto model = core.read_model(request.bundle + "/model/model.xml");
    std::map<std::size_t, ov::PartialShape> shapes;
    for (std::size_t i = 0; i < spec["inputs"].list.size(); ++i) shapes[i] = bound_shape(spec["inputs"].list[i], sizes);
    model->reshape(shapes);
    ov::CompiledModel compiled = core.compile_model(model, "CPU", settings(manifest));
    const std::string asked = settings(manifest)["INFERENCE_PRECISION_HINT"].as<std::string>();
    const std::string used = compiled.get_property(ov::hint::inference_precision).to_string();
    if (used != asked) throw std::runtime_error("this CPU computes in " + used + ", the bundle was judged in " + asked);

    ov::InferRequest infer = compiled.create_infer_request();
    for (std::size_t i = 0; i < spec["inputs"].list.size(); ++i)
        infer.set_input_tensor(i, tensor(manifest, spec["inputs"].list[i], compiled.input(i), arrays));
    infer.infer();
    for (std::size_t i = 0; i < spec["outputs"].list.size(); ++i)
        report_output(spec["outputs"].list[i]["name"].text, infer.get_output_tensor(i), request.save);
    report_time(infer, request.seconds);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        run(parse(std::vector<std::string>(argv + 1, argv + argc)));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "run_bundle: %s\n", error.what());
        return 2;
    }
}
