using System.Globalization;
using VllmNative.Diagnostics;

namespace VllmNative.Loading;

/// <summary>
/// All weights of a model directory by name, from <c>model.safetensors</c> or, where that is absent, from the shards
/// that <c>model.safetensors.index.json</c> lists. Views stay valid until the map is disposed.
/// </summary>
internal sealed class WeightMap : IDisposable
{
    /// <summary>The file of an unsharded model.</summary>
    public const string SingleName = "model.safetensors";

    /// <summary>The index of a sharded one.</summary>
    public const string IndexName = "model.safetensors.index.json";

    private readonly string _directory;
    private readonly List<SafetensorsFile> _files = [];
    private readonly Dictionary<string, TensorView> _tensors = new(StringComparer.Ordinal);

    private WeightMap(string directory) => _directory = directory;

    /// <summary>Names of all tensors.</summary>
    public IReadOnlyCollection<string> Names => _tensors.Keys;

    /// <summary>Bytes of all tensors.</summary>
    public long TotalBytes { get; private set; }

    /// <summary>Maps the weights of a model.</summary>
    /// <exception cref="ModelFormatException">There are none, or a file is malformed, or index and shards disagree.</exception>
    public static WeightMap Open(string modelDir)
    {
        ArgumentNullException.ThrowIfNull(modelDir);
        if (!Directory.Exists(modelDir))
        {
            throw new ModelFormatException(modelDir, null, "is not a directory");
        }

        WeightMap map = new(modelDir);
        try
        {
            map.OpenFiles();
            return map;
        }
        catch
        {
            map.Dispose();
            throw;
        }
    }

    /// <summary>Finds a tensor; false if the model has none of this name.</summary>
    public bool TryGet(string name, out TensorView tensor) => _tensors.TryGetValue(name, out tensor);

    /// <summary>A tensor that the model must have.</summary>
    /// <exception cref="ModelFormatException">It is missing; the message names directory and tensor.</exception>
    public TensorView Get(string name) =>
        TryGet(name, out TensorView tensor) ? tensor : throw new ModelFormatException(_directory, name, "tensor is missing from the weights");

    /// <summary>Unmaps all files; views must not be used any more.</summary>
    public void Dispose()
    {
        foreach (SafetensorsFile file in _files)
        {
            file.Dispose();
        }
    }

    private void OpenFiles()
    {
        string single = Path.Combine(_directory, SingleName);
        string index = Path.Combine(_directory, IndexName);
        if (Path.Exists(single))
        {
            SafetensorsFile file = OpenFile(single);
            foreach (string name in file.Tensors)
            {
                Add(file, name);
            }
        }
        else if (Path.Exists(index))
        {
            OpenShards(WeightIndex.Parse(JsonFile.ReadBytes(index, WeightIndex.MaxLength), index), index);
        }
        else
        {
            throw new ModelFormatException(_directory, null, $"has no weights: neither {SingleName} nor {IndexName} is there (pickle files are not read)");
        }
    }

    private void OpenShards(WeightIndex index, string indexPath)
    {
        foreach (string shard in index.Shards)
        {
            string path = Path.Combine(_directory, shard);
            if (!File.Exists(path))
            {
                throw new ModelFormatException(indexPath, shard, "shard is missing from the directory");
            }

            SafetensorsFile file = OpenFile(path);
            foreach (string name in file.Tensors)
            {
                // A tensor that no index entry names is nobody's; one that is named for another shard exists twice.
                if (!index.ShardOf.TryGetValue(name, out string? owner))
                {
                    continue;
                }

                if (owner != shard)
                {
                    throw new ModelFormatException(path, JsonText.Of(name), $"the index assigns this tensor to {owner}, but it is in this shard");
                }

                Add(file, name);
            }
        }

        foreach ((string name, string shard) in index.ShardOf)
        {
            if (!_tensors.ContainsKey(name))
            {
                throw new ModelFormatException(indexPath, JsonText.Of(name), $"tensor is listed for {shard}, which does not hold it");
            }
        }

        if (index.TotalSize is { } stated && stated != TotalBytes)
        {
            throw new ModelFormatException(indexPath, "metadata.total_size", string.Create(CultureInfo.InvariantCulture, $"states {stated} bytes, the listed tensors have {TotalBytes}"));
        }
    }

    private SafetensorsFile OpenFile(string path)
    {
        SafetensorsFile file = SafetensorsFile.Open(path);
        _files.Add(file);
        return file;
    }

    private void Add(SafetensorsFile file, string name)
    {
        file.TryGet(name, out TensorView tensor);
        _tensors.Add(name, tensor);
        TotalBytes += tensor.ByteLength;
    }
}
