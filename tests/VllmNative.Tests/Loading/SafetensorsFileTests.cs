using VllmNative.Diagnostics;
using VllmNative.Loading;
using Xunit;

namespace VllmNative.Tests.Loading;

public sealed unsafe class SafetensorsFileTests : IDisposable
{
    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public void Tensors_of_a_good_file_show_type_shape_and_bytes()
    {
        string header = "{\"__metadata__\":{\"format\":\"pt\"},"
            + SafetensorsBytes.Entry("b", "U8", "[3]", "[8,11]") + ","
            + SafetensorsBytes.Entry("a", "F32", "[2,1]", "[0,8]") + ","
            + SafetensorsBytes.Entry("scalar", "BF16", "[]", "[11,13]") + ","
            + SafetensorsBytes.Entry("empty", "I64", "[0,5]", "[8,8]") + "}   ";
        using SafetensorsFile file = SafetensorsFile.Open(_temp.Write("x.safetensors", SafetensorsBytes.File(header, 13)));

        Assert.Equal(["b", "a", "scalar", "empty"], file.Tensors);
        Assert.Equal("pt", file.Metadata["format"]);
        Assert.True(file.TryGet("a", out TensorView a));
        Assert.Equal("a", a.Name);
        Assert.Equal(SafetensorsDtype.F32, a.Dtype);
        Assert.Equal([2L, 1L], a.Shape);
        Assert.Equal(8, a.ByteLength);
        Assert.Equal([0, 1, 2, 3, 4, 5, 6, 7], a.Bytes.ToArray());
        Assert.True(file.TryGet("b", out TensorView b));
        Assert.Equal([8, 9, 10], b.Bytes.ToArray());
        Assert.True(b.Data == a.Data + 8);
        Assert.True(file.TryGet("scalar", out TensorView scalar));
        Assert.Empty(scalar.Shape);
        Assert.Equal([11, 12], scalar.Bytes.ToArray());
        Assert.True(file.TryGet("empty", out TensorView empty));
        Assert.Equal(0, empty.Bytes.Length);
        Assert.False(file.TryGet("c", out _));
    }

    [Theory]
    [InlineData("BOOL", 8)]
    [InlineData("F4", 4)]
    [InlineData("F6_E2M3", 6)]
    [InlineData("F6_E3M2", 6)]
    [InlineData("U8", 8)]
    [InlineData("I8", 8)]
    [InlineData("F8_E5M2", 8)]
    [InlineData("F8_E4M3", 8)]
    [InlineData("F8_E8M0", 8)]
    [InlineData("I16", 16)]
    [InlineData("U16", 16)]
    [InlineData("F16", 16)]
    [InlineData("BF16", 16)]
    [InlineData("I32", 32)]
    [InlineData("U32", 32)]
    [InlineData("F32", 32)]
    [InlineData("C64", 64)]
    [InlineData("I64", 64)]
    [InlineData("U64", 64)]
    [InlineData("F64", 64)]
    public void Every_dtype_has_its_size(string dtype, int bits)
    {
        string header = "{" + SafetensorsBytes.Entry("t", dtype, "[4,2]", $"[0,{bits}]") + "}";
        using SafetensorsFile file = SafetensorsFile.Open(_temp.Write("x.safetensors", SafetensorsBytes.File(header, bits)));
        Assert.True(file.TryGet("t", out TensorView tensor));
        Assert.Equal(dtype, tensor.Dtype.ToString());
        Assert.Equal(bits, tensor.ByteLength);
    }

    [Fact]
    public void A_file_without_tensors_is_legal()
    {
        using SafetensorsFile file = SafetensorsFile.Open(_temp.Write("x.safetensors", SafetensorsBytes.File("{}", 0)));
        Assert.Empty(file.Tensors);
        Assert.Empty(file.Metadata);
    }

    [Fact]
    public void Released_tensors_can_be_read_again()
    {
        const int Length = 1 << 20;
        string header = "{" + SafetensorsBytes.Entry("t", "U8", $"[{Length}]", $"[0,{Length}]") + "}";
        using SafetensorsFile file = SafetensorsFile.Open(_temp.Write("x.safetensors", SafetensorsBytes.File(header, Length)));
        Assert.True(file.TryGet("t", out TensorView tensor));
        byte[] before = tensor.Bytes.ToArray();
        SafetensorsFile.Release(tensor);
        Assert.True(tensor.Bytes.SequenceEqual(before));
    }

    [Fact]
    public void Views_of_a_disposed_file_throw()
    {
        SafetensorsFile file = SafetensorsFile.Open(_temp.Write("x.safetensors", SafetensorsBytes.FileOf("t")));
        Assert.True(file.TryGet("t", out TensorView tensor));
        file.Dispose();
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => tensor.Bytes.Length);
    }

    [Fact]
    public void A_missing_file_is_named()
    {
        string path = Path.Combine(_temp.Path, "none.safetensors");
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => SafetensorsFile.Open(path));
        Assert.Equal(path, error.File);
        Assert.Contains("cannot be read", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_directory_is_named()
    {
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => SafetensorsFile.Open(_temp.Path));
        Assert.Contains("cannot be read", error.Message, StringComparison.Ordinal);
    }
}
