using System.Globalization;
using System.Text;
using VllmNative.Cli.Commands;

// Numbers are read and written the same in every locale, and text is UTF-8 whatever the locale says.
CultureInfo.DefaultThreadCurrentCulture = CultureInfo.InvariantCulture;
CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
var utf8 = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
Console.OutputEncoding = utf8;
Console.InputEncoding = utf8;
return await CliApplication.RunAsync(args).ConfigureAwait(false);
