using VllmNative.Diagnostics;
using VllmNative.Loading;
using Xunit;

namespace VllmNative.Tests.Loading;

public sealed class WeightMapTests : IDisposable
{
    private const string First = "model-00001-of-00002.safetensors";
    private const string Second = "model-00002-of-00002.safetensors";

    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public void A_single_file_gives_all_its_tensors()
    {
        _temp.Write(WeightMap.SingleName, SafetensorsBytes.FileOf("a", "b"));
        using WeightMap weights = WeightMap.Open(_temp.Path);
        Assert.Equal(["a", "b"], weights.Names);
        Assert.Equal(8, weights.TotalBytes);
        Assert.Equal([4, 5, 6, 7], weights.Get("b").Bytes.ToArray());
        Assert.False(weights.TryGet("c", out _));
    }

    [Fact]
    public void Shards_give_the_tensors_of_the_index()
    {
        WriteShards(Index(12, ("a", First), ("b", First), ("c", Second)));
        _temp.Write("unrelated.safetensors", "not a safetensors file");
        using WeightMap weights = WeightMap.Open(_temp.Path);
        Assert.Equal(["a", "b", "c"], weights.Names.Order());
        Assert.Equal(12, weights.TotalBytes);
        Assert.Equal(Path.Combine(_temp.Path, Second), weights.Get("c").File.Path);
    }

    [Theory]
    [InlineData("12.0")]
    [InlineData("null")]
    public void Total_size_may_be_written_as_a_float_or_not_at_all(string size)
    {
        WriteShards(Index(size, ("a", First), ("b", First), ("c", Second)));
        using WeightMap weights = WeightMap.Open(_temp.Path);
        Assert.Equal(12, weights.TotalBytes);
    }

    [Fact]
    public void A_single_file_wins_over_an_index()
    {
        WriteShards(Index(12, ("a", First), ("b", First), ("c", Second)));
        _temp.Write(WeightMap.SingleName, SafetensorsBytes.FileOf("z"));
        using WeightMap weights = WeightMap.Open(_temp.Path);
        Assert.Equal(["z"], weights.Names);
    }

    [Fact]
    public void A_missing_tensor_is_named_with_its_directory()
    {
        _temp.Write(WeightMap.SingleName, SafetensorsBytes.FileOf("a"));
        using WeightMap weights = WeightMap.Open(_temp.Path);
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => weights.Get("model.norm.weight"));
        Assert.Equal(_temp.Path, error.File);
        Assert.Equal("model.norm.weight", error.Item);
    }

    [Fact]
    public void A_path_that_is_no_directory_is_rejected()
    {
        string file = _temp.Write("x", "x");
        AssertRejected(file, "is not a directory");
        AssertRejected(Path.Combine(_temp.Path, "none"), "is not a directory");
    }

    [Fact]
    public void A_directory_without_weights_is_rejected()
    {
        _temp.Write("pytorch_model.bin", "pickle");
        AssertRejected(_temp.Path, "has no weights: neither model.safetensors nor model.safetensors.index.json");
    }

    [Fact]
    public void A_directory_in_place_of_the_file_is_rejected()
    {
        Directory.CreateDirectory(Path.Combine(_temp.Path, WeightMap.SingleName));
        AssertRejected(_temp.Path, "cannot be read");
    }

    [Theory]
    [InlineData("../evil.safetensors")]
    [InlineData("..\\\\evil.safetensors")]
    [InlineData("/etc/evil.safetensors")]
    [InlineData("C:evil.safetensors")]
    [InlineData("C:\\\\evil.safetensors")]
    [InlineData("\\\\\\\\host\\\\share\\\\evil.safetensors")]
    [InlineData("sub/evil.safetensors")]
    [InlineData("./evil.safetensors")]
    [InlineData("..safetensors")]
    [InlineData(".safetensors")]
    [InlineData("evil.bin")]
    [InlineData("evil.safetensors\\u0000")]
    [InlineData("ev\\u0000il.safetensors")]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    public void A_shard_outside_the_directory_is_rejected(string shard)
    {
        WriteShards(Index("null", ("a", First), ("b", shard)));
        ModelFormatException error = AssertRejected(_temp.Path, "is not the plain name");
        Assert.Equal("weight_map.b", error.Item);
    }

    [Theory]
    [InlineData("{\"weight_map\":{\"a\":1}}", "is not the plain name")]
    [InlineData("{\"weight_map\":{\"a\":null}}", "is not the plain name")]
    [InlineData("{\"weight_map\":{}}", "lists no tensor")]
    [InlineData("{\"weight_map\":[]}", "is not an object")]
    [InlineData("{}", "is missing")]
    [InlineData("[]", "expected a JSON object")]
    [InlineData("{", "is not valid JSON")]
    [InlineData("", "is not valid JSON")]
    [InlineData("{\"weight_map\":{\"\\ud800\":\"x.safetensors\"}}", "not valid")]
    [InlineData("{\"weight_map\":{\"a\":\"x.safetensors\",\"a\":\"y.safetensors\"}}", "is not valid JSON")]
    public void A_malformed_index_is_rejected(string index, string cause)
    {
        WriteShards(index);
        AssertRejected(_temp.Path, cause);
    }

    [Fact]
    public void A_listed_tensor_that_no_shard_holds_is_rejected()
    {
        WriteShards(Index("null", ("a", First), ("b", First), ("c", Second), ("d", Second)));
        ModelFormatException error = AssertRejected(_temp.Path, $"is listed for {Second}, which does not hold it");
        Assert.Equal("d", error.Item);
    }

    [Fact]
    public void A_tensor_in_another_shard_than_listed_is_rejected()
    {
        WriteShards(Index("null", ("a", First), ("b", Second), ("c", Second)));
        Assert.Equal("b", AssertRejected(_temp.Path, $"assigns this tensor to {Second}").Item);
    }

    [Fact]
    public void A_tensor_in_two_shards_is_rejected()
    {
        WriteShards(Index("null", ("a", First), ("b", First), ("c", Second)));
        _temp.Write(Second, SafetensorsBytes.FileOf("c", "a"));
        Assert.Equal("a", AssertRejected(_temp.Path, $"assigns this tensor to {First}").Item);
    }

    [Fact]
    public void A_missing_shard_is_rejected()
    {
        WriteShards(Index("null", ("a", First), ("b", First), ("c", Second)));
        File.Delete(Path.Combine(_temp.Path, Second));
        Assert.Equal(Second, AssertRejected(_temp.Path, "shard is missing").Item);
    }

    [Fact]
    public void A_malformed_shard_is_rejected_by_its_own_name()
    {
        WriteShards(Index("null", ("a", First), ("b", First), ("c", Second)));
        string bad = _temp.Write(Second, "short");
        Assert.Equal(bad, AssertRejected(_temp.Path, "too few").File);
    }

    [Theory]
    [InlineData("11", "states 11 bytes, the listed tensors have 12")]
    [InlineData("13", "states 13 bytes")]
    [InlineData("-1", "is not a number from 0")]
    [InlineData("12.5", "not a whole number")]
    [InlineData("1e400", "is not a number from 0")]
    [InlineData("\"12\"", "is not a number from 0")]
    public void A_wrong_total_size_is_rejected(string size, string cause)
    {
        WriteShards(Index(size, ("a", First), ("b", First), ("c", Second)));
        Assert.Equal("metadata.total_size", AssertRejected(_temp.Path, cause).Item);
    }

    [Fact]
    public void An_index_of_absurdly_many_shards_is_rejected()
    {
        WriteShards(Index("null", [.. Enumerable.Range(0, WeightIndex.MaxShards + 1).Select(static i => ($"t{i}", $"{i}.safetensors"))]));
        AssertRejected(_temp.Path, "names more than 10000 files");
    }

    private static string Index(object totalSize, params (string Tensor, string Shard)[] map) =>
        $"{{\"metadata\":{{\"total_size\":{totalSize}}},\"weight_map\":{{{string.Join(',', map.Select(entry => $"\"{entry.Tensor}\":\"{entry.Shard}\""))}}}}}";

    private void WriteShards(string index)
    {
        _temp.Write(First, SafetensorsBytes.FileOf("a", "b"));
        _temp.Write(Second, SafetensorsBytes.FileOf("c"));
        _temp.Write(WeightMap.IndexName, index);
    }

    private static ModelFormatException AssertRejected(string directory, string cause)
    {
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => WeightMap.Open(directory));
        Assert.Contains(cause, error.Cause, StringComparison.Ordinal);
        return error;
    }
}
