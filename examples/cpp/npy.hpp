// NumPy's .npy files: one array in row-major order, little-endian.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace npy {

struct Array {
    std::string type;  // "<f4", "<i8", "|u1" …
    std::vector<std::size_t> shape;
    std::vector<char> bytes;
};

inline std::size_t item_size(const std::string& type) { return std::stoul(type.substr(2)); }

inline std::size_t count(const std::vector<std::size_t>& shape) {
    std::size_t product = 1;
    for (const std::size_t size : shape) product *= size;
    return product;
}

inline std::string between(const std::string& text, const std::string& from, const std::string& to) {
    const std::size_t start = text.find(from);
    if (start == std::string::npos) throw std::runtime_error("its header lacks " + from);
    const std::size_t begin = start + from.size();
    return text.substr(begin, text.find(to, begin) - begin);
}

inline Array load(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream) throw std::runtime_error("cannot open '" + path + "'");
    const std::vector<char> raw((std::istreambuf_iterator<char>(stream)), {});
    const std::string start(raw.begin(), raw.begin() + static_cast<long>(std::min<std::size_t>(raw.size(), 12)));
    if (start.size() < 12 || start.compare(1, 5, "NUMPY") != 0)
        throw std::runtime_error("'" + path + "' is no .npy file; write it with numpy.save");
    const bool old = start[6] == 1;  // version 1 has two bytes of header length, later ones four
    std::size_t length = 0;
    for (int index = old ? 1 : 3; index >= 0; --index)
        length = length << 8 | static_cast<std::uint8_t>(start[8 + static_cast<std::size_t>(index)]);
    const std::size_t body = (old ? 10 : 12) + length;
    if (raw.size() < body) throw std::runtime_error("'" + path + "' is cut off");
    const std::string header(raw.begin() + (old ? 10 : 12), raw.begin() + static_cast<long>(body));

    Array array;
    array.type = between(header, "'descr': '", "'");
    if (array.type.size() < 3 || array.type[0] == '>' || between(header, "'fortran_order': ", ",") != "False")
        throw std::runtime_error("'" + path + "' must hold little-endian numbers in row-major order");
    std::istringstream sizes(between(header, "'shape': (", ")"));
    for (std::string size; std::getline(sizes, size, ',');)
        if (size.find_first_of("0123456789") != std::string::npos) array.shape.push_back(std::stoul(size));
    array.bytes.assign(raw.begin() + static_cast<long>(body), raw.end());
    if (array.bytes.size() != count(array.shape) * item_size(array.type))
        throw std::runtime_error("'" + path + "' is cut off");
    return array;
}

inline void save(const std::string& path, const Array& array) {
    std::string header = "{'descr': '" + array.type + "', 'fortran_order': False, 'shape': (";
    for (const std::size_t size : array.shape) header += std::to_string(size) + ", ";
    header += "), }";
    while ((header.size() + 11) % 64 != 0) header += ' ';  // the body starts at a multiple of 64
    header += '\n';
    std::ofstream stream(path, std::ios::binary);
    stream << "\x93NUMPY" << '\x01' << '\0' << static_cast<char>(header.size() & 0xFF)
           << static_cast<char>(header.size() >> 8) << header;
    stream.write(array.bytes.data(), static_cast<std::streamsize>(array.bytes.size()));
    if (!stream) throw std::runtime_error("cannot write '" + path + "'");
}

}  // namespace npy
